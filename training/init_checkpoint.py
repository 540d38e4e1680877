"""`triglot init`: a text LLM, a speech encoder and a codec, as they come from the Hub, assembled into a Triglot to train.

    text LLM ─ rows for the speech tokens ─────────────────────────┐
    speech encoder ─ first layers ─ k-means over your sound ─┐     ├─▶ one checkpoint: model, processor, codecs, code
    codec ─ its encoding half ─ or these are the tokens ─────┴─────┤
    speech decoder, image tokenizer ─ finished, where given ───────┘

Before any weights are loaded a plan says what a training step will take in memory. Then `train_lm` with `text_model` set to the new
folder goes on from it, in full or with adapters.
"""

import argparse
import dataclasses
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import IterableDataset
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from ..modeling.decoders.modeling_codec_decoder import CodecDecoder
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer
from ..modeling.tokenizers.modeling_codec_units import CodecUnits, codec_settings
from ..processing.errors import TriglotError
from ..processing.languages import resolve_language
from ..processing.whole_files import whole_folder
from .card_record import CardRecord, Part, Run
from .data.load_rows import open_rows
from .describe import count_numbers, count_of
from .load_parts import load_image_tokenizer, load_speech_decoder, load_speech_tokenizer, load_stock
from .memory_plan import MemoryPlan, TrainingSetup, as_table, plan_memory
from .model_card import card_beside
from .runs import LM_DTYPES, check_dtype, given_settings
from .train_kmeans import KmeansArguments, train_kmeans
from .train_lm import LmArguments, check_init, make_model, make_processor

SPAN_IDS = 3  # of a new modality beside its codes: begin, end, and <|sep|> for the first
SPEECH_SECONDS = 30  # most speech of an output span
SHUFFLE_BUFFER = 1_000  # rows that a stream is shuffled over


@dataclass(frozen=True)
class InitArguments:
    """The parts of a new Triglot."""

    text_llm: str  # folder or Hub id of a causal LM and its tokenizer
    out: str  # folder of the checkpoint
    languages: str = "en es"  # ISO codes; the first is the default
    speech_tokenizer: str = ""  # a finished speech tokenizer, or
    speech_encoder: str = ""  # folder or Hub id of an SSL encoder and its feature extractor, with
    layer: int = 6  # whose features are clustered
    frame_rate: float = 25.0  # codes/s
    codebook_size: int = 1000
    audio: str = ""  # sound for k-means: a folder of save_to_disk or of sound files, a parquet file, a Hub id
    split: str = "train"
    max_frames: int = 500_000
    codec: str = ""  # Mimi, EnCodec or DAC: the speech tokens where no encoder is given, kept beside them where one is
    levels: int = 1  # RVQ levels of the codec that are told
    speech_decoder: str = ""  # a finished one for these tokens
    image_tokenizer: str = ""  # a finished one, for a Triglot that sees and draws
    init: str = "mean"  # of the new rows: zero | mean | centroids
    dtype: str = "bfloat16"  # of the LM in the checkpoint
    plan_only: bool = False  # say what a training step takes, and stop

    def __post_init__(self):
        given = [name for name in ("speech_tokenizer", "speech_encoder") if getattr(self, name)]
        if len(given) == 2:
            raise TriglotError(
                "Give speech_tokenizer, which is finished, or speech_encoder, which k-means completes; not both."
            )
        if not given and not self.codec:
            raise TriglotError(
                "Give one of speech_tokenizer, speech_encoder and codec: the speech tokens come from there."
            )
        if self.speech_decoder and not self.speech_tokenizer:
            raise TriglotError(
                "A speech_decoder speaks the tokens that it was trained on: give their speech_tokenizer as well."
            )
        if self.speech_encoder and not self.audio and not self.plan_only:
            raise TriglotError(
                "k-means over the encoder's features needs sound: give audio, a dataset with a column `audio`."
            )
        check_init(self.init)
        check_dtype(self.dtype, LM_DTYPES)
        for language in self.languages.split():
            resolve_language(language)


Told = Callable[[MemoryPlan, Mapping[str, int], TrainingSetup], None]


def init_checkpoint(
    arguments: InitArguments,
    setup: TrainingSetup | None = None,
    *,
    seed: int = 0,
    tell: Told | None = None,
    license: str = "",
) -> Path | None:
    """Assembles the checkpoint.

    Args:
        arguments: The parts.
        setup: How the LM is to be trained, for the plan; default: `TrainingSetup()`.
        seed: Of k-means.
        tell: Gets the plan, the numbers of the other parts and the setup; default: prints a table.
        license: That its maker gives the checkpoint, as the Hub writes it; "" for none. The parts may ask for more.

    Returns:
        The folder, whole; None where only the plan was asked for.

    Raises:
        TriglotError: parts that cannot be loaded or do not fit, no sound, or a folder that is there already.
        ValueError: the encoder has no such layer or rate, or the codec no such levels.
    """
    setup = setup or TrainingSetup()
    out = Path(arguments.out)
    if out.exists() and any(out.iterdir()) and not arguments.plan_only:
        raise TriglotError(f"{out} is there already; choose another folder, or delete it first.")
    text_config = load_stock(AutoConfig.from_pretrained, arguments.text_llm, "config of a text LLM")
    codec = load_stock(AutoConfig.from_pretrained, arguments.codec, "codec") if arguments.codec else None
    finished = load_speech_tokenizer(arguments.speech_tokenizer) if arguments.speech_tokenizer else None
    decoder = load_speech_decoder(arguments.speech_decoder) if arguments.speech_decoder else None
    pictures = load_image_tokenizer(arguments.image_tokenizer) if arguments.image_tokenizer else None
    parts: dict[str, int] = {}
    if finished is not None:
        codes = finished.codebook_size
        parts["speech tokenizer"] = count_numbers(finished)[0]
    elif arguments.speech_encoder:
        codes = arguments.codebook_size
        encoder = load_stock(AutoConfig.from_pretrained, arguments.speech_encoder, "speech encoder")
        parts["speech encoder"] = count_of(encoder)
    else:
        codes = arguments.levels * codec_settings(codec)["level_size"]
    if codec is not None:
        parts["codec"] = count_of(codec)
    given = {"speech decoder": decoder, "image tokenizer": pictures}
    parts |= {name: count_numbers(part)[0] for name, part in given.items() if part is not None}
    rows = codes + SPAN_IDS + (0 if pictures is None else pictures.codebook_size + SPAN_IDS - 1)
    (tell or _print_plan)(plan_memory(text_config, rows, setup), parts, setup)
    if arguments.plan_only:
        return None

    record = _record(arguments, seed, license)  # what cannot be read is told now
    scratch = out.parent / f"{out.name}.speech_tokenizer"  # k-means goes on from here after a kill
    codec_units = None
    units: MediaTokenizer
    whole_codec: PreTrainedModel | None = None
    if arguments.codec:
        whole_codec = load_stock(AutoModel.from_pretrained, arguments.codec, "codec", dtype=torch.float32)
        codec_units = CodecUnits.from_codec(whole_codec, arguments.levels)
    if finished is not None:
        units = finished
    elif arguments.speech_encoder:
        settings = {name: getattr(arguments, name) for name in ("layer", "frame_rate", "codebook_size", "max_frames")}
        sounds = open_rows(arguments.audio, arguments.split, streaming=True)
        if isinstance(sounds, IterableDataset):
            sounds = sounds.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER)
        units = load_speech_tokenizer(
            train_kmeans(sounds, arguments.speech_encoder, scratch, KmeansArguments(**settings), seed=seed)
        )
    else:
        assert codec_units is not None
        units = codec_units
        decoder = CodecDecoder.from_codec(whole_codec, units.config)  # type: ignore[arg-type]

    base = load_stock(
        AutoModelForCausalLM.from_pretrained, arguments.text_llm, "text LLM", dtype=getattr(torch, arguments.dtype)
    )
    _check_tokenizer(load_stock(AutoTokenizer.from_pretrained, arguments.text_llm, "tokenizer"), arguments.text_llm)
    lm = LmArguments(
        text_model=arguments.text_llm, languages=arguments.languages, init=arguments.init, image_codes=0,
        speech_budget=round(SPEECH_SECONDS * float(units.frame_rate or 25)),
    )  # fmt: skip
    text_rows = base.get_input_embeddings().weight.shape[0]
    processor = make_processor(arguments.text_llm, units, text_rows, lm, pictures)
    if decoder is not None:
        processor.codecs.speech_decoder = decoder
    model = make_model(base, processor, lm)
    with whole_folder(out) as partial:
        model.save_pretrained(partial)
        processor.save_pretrained(partial)
        if codec_units is not None and units is not codec_units:
            codec_units.save_pretrained(partial / "speech_codec")
        card_beside(out, partial, record)
    shutil.rmtree(scratch, ignore_errors=True)
    return out


def _record(arguments: InitArguments, seed: int, license: str) -> CardRecord:
    """Where the parts come from, for the card."""
    speech = arguments.speech_tokenizer or arguments.speech_encoder or arguments.codec
    parts = {"language_model": Part.of_model(arguments.text_llm), "speech_tokenizer": Part.of(speech)}
    if arguments.codec:
        parts["speech_codec" if arguments.speech_tokenizer or arguments.speech_encoder else "speech_decoder"] = (
            Part.of(arguments.codec)
        )
    for name in ("speech_decoder", "image_tokenizer"):
        if given := getattr(arguments, name):
            parts[name] = Part.of(given)
    settings = {name: getattr(arguments, name) for name in ("init", "levels")}
    if arguments.speech_encoder:
        settings = {
            name: getattr(arguments, name) for name in ("init", "layer", "frame_rate", "codebook_size", "max_frames")
        }
    run = Run("init", Path(arguments.out).absolute().name, seed, settings=settings)
    return CardRecord(run.name, license, parts=parts, runs=[run])


def _check_tokenizer(tokenizer: Any, where: str) -> None:
    if not getattr(tokenizer, "is_fast", False) or tokenizer.eos_token_id is None:
        raise TriglotError(f"The tokenizer of {where!r} must be a fast one that has an <eos> token.")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """`triglot init`, with the arguments of `init_arguments.add_arguments`: {"out": the folder or None, "plan", "parts", "setup"}."""
    found: dict[str, Any] = {}

    def tell(plan: MemoryPlan, parts: Mapping[str, int], setup: TrainingSetup) -> None:
        _print_plan(plan, parts, setup)
        found.update(plan=dataclasses.asdict(plan), parts=dict(parts), setup=dataclasses.asdict(setup))

    setup = TrainingSetup(**{name: getattr(arguments, f"plan_{name}") for name in _SETUP})
    out = init_checkpoint(given_settings(arguments, InitArguments), setup, seed=arguments.seed, tell=tell)
    if out is not None:
        print(out)
    return {"out": None if out is None else str(out), **found}


def _print_plan(plan: MemoryPlan, parts: Mapping[str, int], setup: TrainingSetup) -> None:
    print(as_table(plan, parts, setup))


_SETUP = tuple(field.name for field in dataclasses.fields(TrainingSetup))
