"""Whether a folder is a whole checkpoint that others can load and trust, before anything of it leaves this computer.

    folder ─ files that would be pushed ─▶ known kinds, nothing pickled ─▶ every part there ─▶ Triglot's own code ─▶ card valid
           ─ parts loaded, the language model's weights by their headers alone ─▶ shapes and fingerprints fit

All that is wrong is told at once, so that it is mended at once.
"""

import json
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .processing.errors import TriglotError
from .shipped_code import imported_siblings, shipped_files

REQUIRED = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
CARD = "README.md"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_TAG = re.compile(r"[a-z0-9][a-z0-9.-]*")  # a licence or a pipeline, as the Hub writes it
# endings of files that run code when they are read, or may
PICKLES = (".bin", ".pt", ".pth", ".pt2", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz")
# of files that are settings, texts, pictures or sound: nothing that others would load weights or run code from
DATA = (
    ".json", ".jsonl", ".jinja", ".yaml", ".yml", ".txt", ".md", ".rst", ".csv", ".tsv", ".cff", ".bib", ".model", ".vocab", ".pdf",
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".svg", ".wav", ".flac", ".mp3", ".ogg", ".opus", ".mp4",
)  # fmt: skip
NAMED = 3  # of many files the first ones are named


@dataclass(frozen=True)
class CheckpointFiles:
    """What would be pushed."""

    folder: Path
    names: tuple[str, ...]  # relative to the folder, with slashes
    size: int  # bytes of them all
    left_out: tuple[str, ...]  # hidden files and caches, which stay here


def check_checkpoint(folder: str | os.PathLike, card: str | None = None, own_code: bool = False) -> CheckpointFiles:
    """Looks at everything that can be wrong without a network.

    Args:
        folder: Laid out as a Hub repository, see hub_configs/README.md.
        card: Text of the model card; None for the folder's README.md.
        own_code: Code that is not Triglot's may go along: whoever pushes answers for it.

    Raises:
        TriglotError: all of it that is wrong, in one line.
    """
    root = Path(folder)
    if not root.is_dir():
        raise TriglotError(f"There is no folder {str(root)!r} to push.")
    try:
        files, left_out = _files(root)
        problems = [*_pickles(root, files), *_missing(root), *_code_problems(root, files, own_code)]
        problems += _card_problems(root, card)
        if not problems:  # what is not whole cannot be loaded
            problems = list(_misfits(root))
        size = sum((root / name).stat().st_size for name in files)
    except OSError as error:
        raise TriglotError(f"{str(root)!r} cannot be read: {_one_line(error)}") from error
    if problems:
        raise TriglotError(f"{str(root)!r} is not ready to be pushed: " + "; ".join(problems))
    return CheckpointFiles(root, files, size, left_out)


def card_problems(text: str) -> Iterator[str]:
    """What huggingface_hub's own reader, and the Hub's rules that need no network, have to say against a model card.

    Which licences and pipeline tags there are, the Hub alone knows; here is looked at their form.
    """
    import yaml
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard import REGEX_YAML_BLOCK
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if not REGEX_YAML_BLOCK.search(text):
        yield f"{CARD} does not begin with a block of metadata (--- license: ... ---)"
        return
    try:
        data: Any = ModelCard(text).data
    except (ValueError, TypeError, yaml.YAMLError) as error:
        yield f"the metadata of {CARD} is invalid: {' '.join(str(error).split())}"
        return
    if not data.license:
        yield f"the metadata of {CARD} name no license"
    if data.library_name != "transformers":
        yield f"library_name in {CARD} is {data.library_name!r}; it is 'transformers' that loads this"
    for field in ("license", "pipeline_tag"):
        odd = [value for value in _values(data.get(field)) if not isinstance(value, str) or not _TAG.fullmatch(value)]
        if odd:
            yield f"{field} in {CARD} is {odd[0]!r}; small letters, digits, dots and hyphens are needed, as the Hub lists them"
    for field in ("base_model", "datasets"):
        for name in _values(data.get(field)):
            try:
                validate_repo_id(name)
            except HFValidationError as error:
                yield f"{field} in {CARD} is {name!r}, which is no name of a repository: {_one_line(error)}"
    languages = _values(data.language)
    odd = [language for language in languages if not isinstance(language, str)]
    if odd:  # YAML reads `no`, Norwegian, as False
        yield f"language in {CARD} holds {odd[0]!r}; codes are needed, in quotes where YAML takes them for something else"


def check_weights(checkpoint: str | os.PathLike) -> None:
    """Raises a TriglotError where a folder has the configs of a checkpoint and no weights, and says what makes them."""
    root = Path(checkpoint)
    if not (root / "processor_config.json").is_file() or any(root.glob("*.safetensors")):
        return
    recipe = root / "recipe.yaml"
    cure = f"`triglot train {recipe}` makes them" if recipe.is_file() else "name a folder that has them"
    raise TriglotError(f"{os.fspath(checkpoint)!r} holds the configs of a checkpoint without its weights; {cure}.")


# ---- inside


def _values(value: Any) -> list[Any]:
    """Of a field of a card that may hold one or several; none for None."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _files(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(files to push, files that stay): hidden ones (.git, .env, .cache) and Python's caches are nobody's business."""
    chosen: list[str] = []
    left: list[str] = []
    linked = [str(path) for path in root.rglob("*") if path.is_symlink() and path.is_dir()]
    if linked:  # would not be followed, and might lead anywhere
        raise TriglotError(f"{_first(linked)}: links to folders are not pushed; put the folders themselves there.")
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root)
        stays = _hidden(name) and name.as_posix() != ".gitattributes"
        (left if stays else chosen).append(name.as_posix())
    away = [name for name in chosen if (root / name).is_symlink() and _leads_away(root, root / name)]
    if away:
        raise TriglotError(f"{_first(away)}: links to files that are not pushed themselves; put the files there.")
    return tuple(chosen), tuple(left)


def _hidden(name: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in name.parts)


def _leads_away(root: Path, link: Path) -> bool:
    """Whether a link's target is outside the folder, or hidden in it; a snapshot of the Hub's cache is made of links to ../../blobs."""
    home, target = root.resolve(), link.resolve()
    if target.is_relative_to(home):
        return _hidden(target.relative_to(home))
    return home.parent.name != "snapshots" or target.parent != home.parent.parent / "blobs"


def _pickles(root: Path, files: tuple[str, ...]) -> Iterator[str]:
    found = [name for name in files if name.lower().endswith(PICKLES) or _holds_pickle(root / name)]
    if found:
        yield f"only safetensors are pushed; delete or move what may run code when it is read: {_first(found)}"
    known = ("", ".safetensors", ".py", *DATA)  # "": LICENSE, .gitattributes
    other = [name for name in files if name not in found and Path(name).suffix.lower() not in known]
    if other:
        yield f"only safetensors, code, settings, texts, pictures and sound are pushed; delete or move {_first(other)}"


def _holds_pickle(path: Path) -> bool:
    """Whether a file is a pickle, or a torch file, under another name."""
    with open(path, "rb") as handle:
        start = handle.read(4)
    if len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5:  # the opcode PROTO and a protocol
        return True
    if not start.startswith(b"PK") or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _missing(root: Path) -> Iterator[str]:
    """Files that every checkpoint has, and the parts that its own processor_config.json names."""
    lacking = [name for name in REQUIRED if not (root / name).is_file()]
    lacking += _lacking_weights(root)
    for part in _parts(root):
        lacking += [f"{part}/config.json"] * (not (root / part / "config.json").is_file())
        lacking += [f"{part}/{name}" for name in _lacking_weights(root / part)]
    if lacking:
        yield f"files are missing: {_first(lacking)}"
    kind = json_mapping(root / "config.json").get("model_type")
    if (root / "config.json").is_file() and kind != "triglot":
        yield f"config.json is that of a {kind or 'damaged'} model; a triglot one is needed"


def _parts(root: Path) -> list[str]:
    """Names of the codec components that the processor will look for."""
    parts = json_mapping(root / "processor_config.json").get("parts")
    return [name for name in parts if isinstance(name, str)] if isinstance(parts, list) else []


def _lacking_weights(folder: Path) -> list[str]:
    return [name for name in _weight_files(folder) if not (folder / name).is_file()]


def _weight_files(folder: Path) -> list[str]:
    """One file, or the shards that an index names."""
    places = json_mapping(folder / INDEX).get("weight_map")
    if (folder / WEIGHTS).is_file() or not isinstance(places, dict):
        return [WEIGHTS]
    return sorted({name for name in places.values() if isinstance(name, str)})


def _code_problems(root: Path, files: tuple[str, ...], own_code: bool) -> Iterator[str]:
    """The code lies flat in the root, is this package's to the byte, and lacks nothing that it imports."""
    shipped = {path.name: path.read_bytes() for path in shipped_files()}
    here = {path.name: path for path in root.glob("*.py")}
    other = [
        name
        for name in files
        if name.lower().endswith(".py") and (root / name).read_bytes() != shipped.get(Path(name).name)
    ]
    stale = [name for name in other if name in shipped]
    foreign = [*(name for name in other if name not in shipped), *_code_elsewhere(root)]
    cure = f"run: triglot export-code {root}"
    if stale:
        yield f"the code is not that of the installed Triglot ({_first(stale)}); {cure}"
    if foreign and not own_code:
        yield f"there is code that is not Triglot's ({_first(foreign)}); delete it, or answer for it with --own-code (own_code=True)"
    needed = set(_named_code(root))
    seen: set[str] = set()
    if not needed:
        yield "config.json names no code (auto_map), so that it loads only where Triglot is installed; save it again"
    while needed - seen:
        name = min(needed - seen)
        seen.add(name)
        if name in here:
            try:
                needed |= imported_siblings(here[name])
            except (SyntaxError, ValueError) as error:
                yield f"{name} is no Python: {error}"
    if needed - here.keys():
        yield f"code is missing ({_first(sorted(needed - here.keys()))}); {cure}"


def _named_code(root: Path) -> Iterator[str]:
    """Files that the configs name: "modeling_triglot.TriglotModel" -> "modeling_triglot.py"."""
    yield from (f"{name.rpartition('.')[0]}.py" for name in _named_classes(root) if "--" not in name and "." in name)


def _code_elsewhere(root: Path) -> list[str]:
    """Classes of other repositories that the configs name: "owner/repository--module.Class"."""
    return [name for name in _named_classes(root, "tokenizer_config.json") if "--" in name]


def _named_classes(root: Path, *more: str) -> Iterator[str]:
    for place in ("config.json", "processor_config.json", *more, *(f"{part}/config.json" for part in _parts(root))):
        config = json_mapping(root / place)
        maps = [entry for entry in (config.get("auto_map"), config.get("custom_pipelines")) if isinstance(entry, dict)]
        values = [
            value.get("impl") if isinstance(value, dict) else value for entry in maps for value in entry.values()
        ]
        for value in values:  # of a tokenizer [slow, fast]
            yield from (name for name in _values(value) if isinstance(name, str))


def _card_problems(root: Path, card: str | None) -> Iterator[str]:
    if card is None:
        try:
            card = (root / CARD).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            yield f"there is no model card, {CARD}"
            return
        except UnicodeDecodeError:
            yield f"{CARD} is not UTF-8"
            return
    yield from card_problems(card)


def _misfits(root: Path) -> Iterator[str]:
    """Loads what is small, reads the headers of what is not, and compares fingerprints and shapes."""
    from .modeling.language_model.configuration_triglot import TriglotConfig
    from .processing.processing_triglot import TriglotProcessor

    try:
        config = TriglotConfig.from_pretrained(root)
        processor = TriglotProcessor.from_pretrained(root, trust_remote_code=False)
    except Exception as error:  # of a config that was edited by hand: of many kinds
        yield f"its configs cannot be loaded: {_one_line(error)}"
        return
    try:
        processor.check_model(config)
        for name in processor.parts:
            part = processor.codecs.get(name)
            actual = part.compute_fingerprint() if hasattr(part, "compute_fingerprint") else part.fingerprint
            if actual != part.fingerprint:
                yield f"the weights of {name} have the fingerprint {actual[:12]}, its config.json says {part.fingerprint[:12]}"
    except TriglotError as error:
        yield _one_line(error)
    yield from _weight_problems(root, config)


def _weight_problems(root: Path, config: Any) -> Iterator[str]:
    """The names and shapes in the files' headers against those of a model without storage."""
    import torch
    from safetensors import SafetensorError, safe_open

    from .modeling.language_model.modeling_triglot import TriglotForConditionalGeneration

    try:
        with torch.device("meta"):
            model = TriglotForConditionalGeneration(config)
    except Exception as error:  # as above
        yield f"no model can be made of config.json: {_one_line(error)}"
        return
    wanted = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    found: dict[str, list[int]] = {}
    for file in _weight_files(root):
        try:
            with safe_open(root / file, framework="pt") as tensors:
                found |= {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            yield f"{file} is damaged: {_one_line(error)}"
            return
    pairs = [{one, other} for one, other in (model.all_tied_weights_keys or {}).items()]
    written = {name for pair in pairs if pair & found.keys() for name in pair}  # of tied weights one is in the files
    missing = sorted(wanted.keys() - found.keys() - written)
    other = sorted(name for name in wanted.keys() & found.keys() if wanted[name] != found[name])
    if missing:
        yield f"the language model's files lack weights: {_first(missing)}"
    if other:
        yield f"the language model's weights have other shapes than config.json says: {_first(other)}"


def json_mapping(path: Path) -> dict[str, Any]:
    """What a JSON file holds; {} where there is none, or another thing in it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _first(names: list[str]) -> str:
    """A list for a sentence: "a.bin, b.bin, c.bin and 4 more"."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
