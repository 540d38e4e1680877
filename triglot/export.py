"""`triglot export`: a checkpoint as the plain causal LM it wraps, for engines that know nothing of Triglot.

    config.json, model*.safetensors, generation_config.json     Qwen3ForCausalLM, LlamaForCausalLM, ... with all V rows
    tokenizer.json, tokenizer_config.json                       the text tokenizer with a token for every media id
    README.md                                                   how to serve it, and what is lost

No remote code; transformers alone loads it, with the same logits. Media are still made into ids, and ids into media, by the
checkpoint's own processor: `exported_prompts`, `ids_of_exported_text`.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoProcessor, GenerationConfig, PreTrainedTokenizerFast

from .processing.errors import TriglotError
from .processing.whole_files import whole_folder
from .training.load_parts import RUN_ITS_CODE, load_reason

EXPORT_FILES = frozenset(["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"])


def export_checkpoint(
    checkpoint: str | os.PathLike, out: str | os.PathLike, *, trust_remote_code: bool = False
) -> Path:
    """Reads a checkpoint and writes it as a plain causal LM; see `export_model`.

    Args:
        checkpoint: Folder or Hub id of a Triglot checkpoint.
        out: Folder to write, whole or not at all; an older export there is replaced.
        trust_remote_code: Run the code that lies in the checkpoint.

    Raises:
        TriglotError: a checkpoint that cannot be loaded, that is no Triglot, or that no plain model can express.
    """
    check_export_folder(out)
    name = os.fspath(checkpoint)
    try:
        processor = AutoProcessor.from_pretrained(name, trust_remote_code=trust_remote_code)
        model = AutoModelForCausalLM.from_pretrained(name, dtype="auto", trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        reason = load_reason(error, RUN_ITS_CODE)
        raise TriglotError(f"The checkpoint {name!r} cannot be loaded: {reason}") from error
    return export_model(model, processor, out)


def export_model(model: Any, processor: Any, out: str | os.PathLike) -> Path:
    """Writes a Triglot model and its processor's vocabulary as a plain causal LM with a fast tokenizer.

    Args:
        model: `TriglotForConditionalGeneration`; its weights are written in the precision they have.
        processor: The model's `TriglotProcessor`.
        out: Folder, whole or not at all; an older export there is replaced.

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
        (partial / "README.md").write_text(card(model, processor), encoding="utf-8")
    return folder


def check_export_folder(out: str | os.PathLike) -> Path:
    """The folder, resolved; refused if replacing it would destroy anything but an older export.

    Raises:
        TriglotError: a file, or a folder that holds something else.
    """
    folder = Path(out).resolve()
    if folder.exists() and not folder.is_dir():
        raise TriglotError(f"{str(out)!r} is a file; name a folder.")
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if present and (not present >= EXPORT_FILES or "processor_config.json" in present):
        raise TriglotError(f"{str(out)!r} holds something that is no export; name a new or an empty folder.")
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


def card(model: Any, processor: Any) -> str:
    """README.md of the export."""
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
            "library_name: transformers",
            "pipeline_tag: text-generation",
            "---",
            "",
            f"# A Triglot model as a plain {type(model.language_model).__name__}",
            "",
            f"Written by `triglot export`. {config.vocab_size} ids; those of media are ordinary added tokens:",
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
        ]
    )
