"""`triglot export`: a checkpoint as the plain causal LM it wraps, for engines that know nothing of Triglot.

    config.json, model*.safetensors, generation_config.json     Qwen3ForCausalLM, LlamaForCausalLM, ... with all V rows
    tokenizer.json, tokenizer_config.json                       the text tokenizer with a token for every media id
    README.md                                                   how to serve it, what is lost, and the licence of the checkpoint

No remote code; transformers alone loads it, with the same logits. Media are still made into ids, and ids into media, by the
checkpoint's own processor: `exported_prompts`, `ids_of_exported_text`.
"""

import contextlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from transformers import AutoModelForCausalLM, AutoProcessor, GenerationConfig, PreTrainedTokenizerFast

from .checkpoint_check import check_weights
from .processing.errors import TriglotError
from .processing.whole_files import whole_folder
from .training.card_facts import LANGUAGE_MODEL, whole_licence
from .training.card_record import CardRecord, cleaned, record_of
from .training.licences import hub_id
from .training.load_parts import RUN_ITS_CODE, load_reason

# all that an export holds, and the words in its README.md by which it is known
EXPORT_FILES = re.compile(
    r"README\.md|config\.json|generation_config\.json|tokenizer(_config)?\.json|model(-\d+-of-\d+)?\.safetensors(\.index\.json)?"
)
MARK = "Written by `triglot export`."


def export_checkpoint(
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    *,
    trust_remote_code: bool = False,
    warn: Callable[[str], None] = warnings.warn,
) -> Path:
    """Reads a checkpoint and writes it as a plain causal LM; see `export_model`.

    Args:
        checkpoint: Folder or Hub id of a Triglot checkpoint.
        out: Folder to write, whole or not at all; an older export there is replaced.
        trust_remote_code: Run the code that lies in the checkpoint.
        warn: Told what whoever passes the export on should know about its licence.

    Raises:
        TriglotError: a checkpoint that cannot be loaded, that is no Triglot, or that no plain model can express.
    """
    check_export_folder(out)
    check_weights(checkpoint)
    name = os.fspath(checkpoint)
    try:
        processor = AutoProcessor.from_pretrained(name, trust_remote_code=trust_remote_code)
        model = AutoModelForCausalLM.from_pretrained(name, dtype="auto", trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        reason = load_reason(error, RUN_ITS_CODE)
        raise TriglotError(f"The checkpoint {name!r} cannot be loaded: {reason}") from error
    if not hasattr(processor, "codecs"):
        raise TriglotError(f"{name!r} is no Triglot checkpoint: {type(processor).__name__} is its processor.")
    record = cleaned(record_of(name, processor.codecs.names))
    folder = export_model(model, processor, out, record, hub_id(name))
    for warning in whole_licence(record)[1]:
        warn(warning)
    return folder


def export_model(
    model: Any,
    processor: Any,
    out: str | os.PathLike,
    record: CardRecord | None = None,
    repo_id: str | None = None,
) -> Path:
    """Writes a Triglot model and its processor's vocabulary as a plain causal LM with a fast tokenizer.

    Args:
        model: `TriglotForConditionalGeneration`; its weights are written in the precision they have.
        processor: The model's `TriglotProcessor`.
        out: Folder, whole or not at all; an older export there is replaced.
        record: What is known of the checkpoint; its licence and origin go into the export's card.
        repo_id: Of the checkpoint on the Hub, where it lies there.

    Returns:
        The folder.

    Raises:
        TriglotError: the folder holds something else, or the model has what its text model's class cannot express:
            an adapter, weights outside the text model, or a text model whose code is not in transformers.
    """
    folder = check_export_folder(out)
    check_plain(model)
    processor.check_model(model.config)
    plain, tokenizer = model.language_model, processor.exported.tokenizer
    generation = plain_generation_config(model.generation_config, processor)
    with whole_folder(folder) as partial:
        plain.save_pretrained(partial)
        generation.save_pretrained(partial)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer,
            model_max_length=tokenizer.model_max_length,
            clean_up_tokenization_spaces=False,
            **{name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)},
        ).save_pretrained(partial)
        _for_older_readers(partial)
        (partial / "README.md").write_text(card(model, processor, record, repo_id), encoding="utf-8")
    return folder


def check_export_folder(out: str | os.PathLike) -> Path:
    """The folder, resolved; refused if replacing it would destroy anything but an older export.

    Raises:
        TriglotError: a file, or a folder that holds something else: a file that no export has, or no card that says what it is.
    """
    folder = Path(out).resolve()
    if folder.exists() and not folder.is_dir():
        raise TriglotError(f"{str(out)!r} is a file; name a folder.")
    present = list(folder.iterdir()) if folder.is_dir() else []
    other = sorted(path.name for path in present if not path.is_file() or not EXPORT_FILES.fullmatch(path.name))
    card = folder / "README.md"
    if present and (other or not card.is_file() or MARK.encode() not in card.read_bytes()):
        what = f" ({other[0]})" if other else ""
        raise TriglotError(f"{str(out)!r} holds something that is no export{what}; name a new or an empty folder.")
    return folder


def check_plain(model: Any) -> None:
    """Whether the text model's class alone computes what this model computes.

    Raises:
        TriglotError: naming what it cannot express.
    """
    plain = getattr(model, "language_model", None)
    if plain is None or getattr(model.config, "modalities", None) is None:
        raise TriglotError(f"The model is a {type(model).__name__}; a Triglot model is needed.")
    name = type(plain).__name__
    if getattr(model, "_hf_peft_config_loaded", False) or hasattr(plain, "peft_config"):
        raise TriglotError(
            "The model has an adapter, which no plain model holds; export the checkpoint with the adapter merged, as "
            "`triglot finetune` writes it."
        )
    if not type(plain).__module__.startswith("transformers."):
        raise TriglotError(
            f"The text model is a {name} of {type(plain).__module__}, code that is not in transformers; an engine would "
            "need that code. Only text models of transformers itself can be exported."
        )
    beside = sorted(key for key in model.state_dict() if not key.startswith("language_model."))
    if beside:
        raise TriglotError(
            f"The model has {len(beside)} weights outside its text model, the first {beside[:3]}; {name} has no place for them."
        )


def plain_generation_config(settings: Any, processor: Any) -> GenerationConfig:
    """What an ordinary `generate` can keep of a checkpoint's generation config: the ends, the bound, and ids never written.

    Args:
        settings: The checkpoint's generation config.
        processor: For its control ids; with the rows that have no token they become `suppress_tokens`.
    """
    ends = settings.eos_token_id
    kept = set(ends) if isinstance(ends, (list, tuple)) else {ends}
    tokenizer, space = processor.exported.tokenizer, processor.space
    unused = {index for index in tokenizer.all_special_ids if index < space.sep_id} | processor.control_ids
    fillers = set(range(len(processor.tokenizer), space.sep_id))
    return GenerationConfig(
        bos_token_id=settings.bos_token_id,
        eos_token_id=ends,
        pad_token_id=settings.pad_token_id,
        max_new_tokens=settings.max_new_tokens,
        suppress_tokens=sorted((unused | fillers) - kept) or None,
    )


def _for_older_readers(folder: Path) -> None:
    """Adds the names that transformers 4 and engines built on it look for; without them they take defaults in silence."""
    with _json_file(folder / "config.json") as config:
        rope = config.get("rope_parameters") or {}
        if "rope_theta" in rope:
            config.setdefault("rope_theta", rope["rope_theta"])
        if "dtype" in config:
            config.setdefault("torch_dtype", config["dtype"])
    with _json_file(folder / "tokenizer_config.json") as config:
        config["tokenizer_class"] = "PreTrainedTokenizerFast"


@contextlib.contextmanager
def _json_file(path: Path) -> Iterator[dict[str, Any]]:
    """Its content, to be changed; written back at the end."""
    content = json.loads(path.read_text(encoding="utf-8"))
    yield content
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def vllm_options(text_config: Any) -> list[str]:
    """What `vllm serve` must be told so that it computes what transformers computes.

    vLLM's own Qwen3 has no bias on the attention's output matrix and passes over one that the file holds; with transformers'
    implementation inside vLLM it is there.
    """
    biased = text_config.model_type == "qwen3" and getattr(text_config, "attention_bias", False)
    return ["--model-impl", "transformers"] if biased else []


def card(model: Any, processor: Any, record: CardRecord | None = None, repo_id: str | None = None) -> str:
    """README.md of the export; what binds the checkpoint binds it too."""
    record = record or CardRecord("")
    licence, cautions = whole_licence(record)
    run = record.runs[-1] if record.runs else None
    part = record.parts.get(LANGUAGE_MODEL)
    metadata = ModelCardData(
        language=list(processor.languages) or None,
        license=licence,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=repo_id or record.repo_id or (run and run.base_id) or (part and part.hub_id) or None,
    )
    config, text = model.config, model.language_model.config
    names = processor.exported.tokenizer.convert_ids_to_tokens
    rows = [
        f"* {entry['name']}: {first} to {last - 1}, `{names(first)}` to `{names(last - 1)}`"
        for entry in config.modalities[1:]
        for first, last in [config.modality_ranges[entry["name"]]]
    ]
    vllm = " ".join(["vllm serve FOLDER", *vllm_options(text)])
    return "\n".join(
        [
            "---",
            metadata.to_yaml(),
            "---",
            "",
            f"# A Triglot model as a plain {type(model.language_model).__name__}",
            "",
            f"{MARK} {config.vocab_size} ids; those of media are ordinary added tokens:",
            "",
            *rows,
            "",
            f"`{names(config.sep_token_id)}` stands between a text and what follows it; a span of codes between its modality's",
            "own two tokens. Prompts are made, and answers turned into sound and pictures, by the processor of the checkpoint this",
            "was made from: `processor.exported_prompts(ids)`, `processor.ids_of_exported_text(answer)`.",
            "",
            "```bash",
            "transformers serve FOLDER",
            vllm,
            "```",
            "",
            "A plain engine does not keep to the span grammar: nothing forces a span to be closed or a picture to be whole.",
            "",
            *(line for caution in cautions for line in (caution, "")),
        ]
    )
