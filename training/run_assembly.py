"""`triglot train RECIPE` for a recipe with a stage `init`: a Triglot made of published parts, as in hub_configs/triglot-8b.

    speech_encoder ─ kmeans ─▶ speech tokenizer ─┬─ soundstorm (with codec) ─▶ speech decoder ─┐
    image_encoder ─ image_dvae ─▶ image tokenizer ┴────────────────────────────────────────────┴─ init (with text_llm)
                                                                                                     │
    sources.yaml ─ tokenize ─▶ token rows ───────────────────────────────────────────────────────────┴─ finetune ─▶ checkpoint

The header names the parts, folders or Hub ids, and the data: `speech` for kmeans (column audio) and soundstorm (audio, speaker),
`pictures` for image_dvae (image), `sources` for tokenize; `license: apache-2.0` goes into the checkpoint's card, where no part asks
for more. The stages are mappings of the fields of their arguments, as in other recipes; `image_dvae` runs where it is named. Every stage
has a folder in `output_dir` and is not run again when it is finished.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import IterableDataset

from ..processing.errors import TriglotError
from .data.load_rows import open_rows, open_whole_rows
from .data.mixture import finished_shards
from .data.sources import load_sources
from .finetune import CHECKPOINT, FinetuneArguments, finetune
from .image_tokenizer_run import open_pictures
from .init_checkpoint import SHUFFLE_BUFFER, InitArguments, init_checkpoint
from .licences import check_licence
from .ranks import wait_until
from .recipe import nearest, parse_arguments
from .run_recipe import load_recipe, read_recipe, run_once, run_recipe
from .tokenize_sources import tokenise_mixture
from .train_image_dvae import ImageDvaeArguments, train_image_dvae
from .train_kmeans import KmeansArguments, train_kmeans
from .train_soundstorm import SoundStormArguments, train_soundstorm


@dataclass(frozen=True)
class TokenizeArguments:
    """Settings of the stage tokenize."""

    shard_rows: int = 500
    workers: int = 1


STAGES: dict[str, type] = {
    "kmeans": KmeansArguments,
    "soundstorm": SoundStormArguments,
    "image_dvae": ImageDvaeArguments,
    "init": InitArguments,
    "tokenize": TokenizeArguments,
    "finetune": FinetuneArguments,
}
HEADER = (
    "output_dir", "seed", "text_llm", "speech_encoder", "codec", "image_encoder", "speech", "pictures", "sources", "license",
)  # fmt: skip
DATA = ("speech", "pictures", "sources")  # paths, also relative to the recipe
NEEDED = ("text_llm", "speech_encoder", "codec", "speech", "sources")
NEEDED_TO_SEE = ("image_encoder", "pictures")


@dataclass(frozen=True)
class AssemblyRecipe:
    """A checked recipe.

    Attributes:
        name: The file's stem, or that of its folder where the file is called recipe.
        output_dir: Where the stages' folders go.
        seed: Of everything.
        parts: {entry of the header: folder, file or Hub id}.
        stages: {stage: its frozen arguments}, those that run, in order.
        license: That its maker gives the checkpoint, as the Hub writes it; "" for none.
    """

    name: str
    output_dir: Path
    seed: int
    parts: Mapping[str, str]
    stages: Mapping[str, Any]
    license: str = ""

    def folder(self, stage: str) -> Path:
        """Of one stage."""
        return self.output_dir / stage

    @property
    def checkpoint(self) -> Path:
        """What the last stage makes."""
        return self.folder("finetune") / CHECKPOINT


def is_assembly(content: Mapping[str, Any]) -> bool:
    """Whether a recipe's content is of this kind."""
    return "init" in content


def load_assembly(recipe: str | os.PathLike, output_dir: str | os.PathLike | None = None) -> AssemblyRecipe:
    """Reads and checks a recipe before anything runs.

    Args:
        recipe: Path of a YAML file, or the name of a packaged one.
        output_dir: Instead of the recipe's own.

    Raises:
        TriglotError: no such file, an entry that is missing, an unknown stage or key (the nearest known one is named).
    """
    path, content = read_recipe(recipe)
    header = {name: content.pop(name) for name in HEADER if name in content}
    unknown = sorted(set(content) - set(STAGES))
    if unknown:
        raise TriglotError(f"{path.name}: unknown stage {unknown[0]!r}{nearest(unknown[0], (*STAGES, *HEADER))}")
    sees = "image_dvae" in content
    missing = [name for name in (*NEEDED, *(NEEDED_TO_SEE if sees else ())) if not header.get(name)]
    if missing:
        raise TriglotError(f"{path.name} lacks {', '.join(missing)}: the parts and the data are named at its top.")
    name = path.parent.name if path.stem == "recipe" else path.stem
    target = Path(output_dir if output_dir is not None else header.get("output_dir", f"runs/{name}"))
    parts = {entry: str(value) for entry, value in header.items() if entry not in ("output_dir", "seed", "license")}
    license = check_licence(str(header["license"])) if header.get("license") else ""
    for entry in set(DATA) & set(parts):
        beside = path.parent / parts[entry]
        parts[entry] = str(beside) if beside.exists() else parts[entry]
    stages: dict[str, Any] = {}
    for stage, cls in STAGES.items():
        if stage == "image_dvae" and not sees:
            continue
        values = {**(content.get(stage) or {}), **_of_the_header(stage, parts, target, sees)}
        stages[stage] = parse_arguments(cls, values, f"{path.name}, stage {stage}")
    return AssemblyRecipe(name, target, int(header.get("seed", 0)), parts, stages, license)


def _of_the_header(stage: str, parts: Mapping[str, str], target: Path, sees: bool) -> dict[str, Any]:
    """Fields of a stage's arguments that the header and the stages before decide."""
    if stage == "image_dvae":
        return {"encoder": parts["image_encoder"]}
    if stage != "init":
        return {}
    return {
        "text_llm": parts["text_llm"],
        "out": str(target / "init" / CHECKPOINT),
        "speech_tokenizer": str(target / "kmeans"),
        "speech_decoder": str(target / "soundstorm"),
        **({"image_tokenizer": str(target / "image_dvae")} if sees else {}),
    }


def run_assembly(recipe: AssemblyRecipe, stage: str | None = None) -> Path:
    """Runs all stages, or those up to `stage`.

    Returns:
        The checkpoint's folder, or that of `stage`.

    Raises:
        TriglotError: an unknown stage, data or parts that do not load, or a folder that holds a stage finished with other settings.
    """
    if stage is not None and stage not in recipe.stages:
        raise TriglotError(f"There is no stage {stage!r}; stages of {recipe.name} are {', '.join(recipe.stages)}.")
    parts, folder, seed = recipe.parts, recipe.folder, recipe.seed
    if stage not in STAGES or list(STAGES).index(stage) >= list(STAGES).index("tokenize"):
        load_sources(parts["sources"])  # an error now, not after days
    pictures = folder("image_dvae") if "image_dvae" in recipe.stages else None

    def kmeans(arguments: KmeansArguments) -> None:
        rows = open_rows(parts["speech"], streaming=True)
        if isinstance(rows, IterableDataset):
            rows = rows.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER)
        train_kmeans(rows, parts["speech_encoder"], folder("kmeans"), arguments, seed=seed)

    def soundstorm(arguments: SoundStormArguments) -> None:
        rows = open_whole_rows(parts["speech"])
        train_soundstorm(rows, folder("kmeans"), parts["codec"], folder("soundstorm"), arguments, seed=seed)

    def image_dvae(arguments: ImageDvaeArguments) -> None:
        train_image_dvae(open_pictures(parts["pictures"], "train"), folder("image_dvae"), arguments, seed=seed)

    def tokenize(arguments: TokenizeArguments) -> None:
        mixture, out = load_sources(parts["sources"]), folder("tokenize")
        tokenise_mixture(
            mixture, folder("kmeans"), out, shard_rows=arguments.shard_rows, workers=arguments.workers,
            image_tokenizer_dir=pictures,
        )  # fmt: skip
        wait_until(
            lambda: all(finished_shards(out / source.name) is not None for source in mixture.sources),
            "[tokenize] waits for the shards of other processes",
        )

    def learn(arguments: FinetuneArguments) -> None:
        finetune(folder("init") / CHECKPOINT, folder("tokenize"), folder("finetune"), arguments, seed=seed)

    steps: dict[str, Callable[[Any], Any]] = {
        "kmeans": kmeans,
        "soundstorm": soundstorm,
        "image_dvae": image_dvae,
        "init": lambda arguments: init_checkpoint(arguments, seed=seed, license=recipe.license),
        "tokenize": tokenize,
        "finetune": learn,
    }
    for name, arguments in recipe.stages.items():
        run_once(folder(name), name, arguments, seed, lambda name=name, arguments=arguments: steps[name](arguments))  # type: ignore[misc]
        if name == stage:
            return folder(name)
    print(f"[checkpoint] {recipe.checkpoint}")
    return recipe.checkpoint


def run_any(recipe: str | os.PathLike, output_dir: str | os.PathLike | None = None, stage: str | None = None) -> Path:
    """`triglot train`: a recipe of either kind."""
    if is_assembly(read_recipe(recipe)[1]):
        return run_assembly(load_assembly(recipe, output_dir), stage)
    return run_recipe(load_recipe(recipe, output_dir), stage)
