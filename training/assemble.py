"""Trained parts -> one checkpoint, laid out as a Hub repository: model, processor, codecs and the code to run them."""

import os
from pathlib import Path

from transformers import AutoTokenizer

from ..modeling.language_model.modeling_triglot import TriglotForConditionalGeneration
from ..processing.processing_triglot import TriglotProcessor
from ..processing.whole_files import whole_folder
from .card_record import CardRecord
from .load_parts import (
    load_image_decoder,
    load_image_tokenizer,
    load_speech_decoder,
    load_speech_tokenizer,
    load_text_to_unit,
)
from .model_card import card_beside


def assemble_checkpoint(
    language_model_dir: str | os.PathLike,
    text_tokenizer_dir: str | os.PathLike,
    speech_tokenizer_dir: str | os.PathLike,
    speech_decoder_dir: str | os.PathLike | None,
    output_dir: str | os.PathLike,
    languages: list[str],
    image_tokenizer_dir: str | os.PathLike | None = None,
    record: CardRecord | None = None,
    text_to_unit_dir: str | os.PathLike | None = None,
    image_decoder_dir: str | os.PathLike | None = None,
) -> Path:
    """Writes the folder whole or not at all, every part in the precision it was saved in.

    Args:
        language_model_dir: A trained `TriglotForConditionalGeneration`.
        text_tokenizer_dir: Its text tokenizer.
        speech_tokenizer_dir: The tokenizer whose codes it was trained on.
        speech_decoder_dir: A decoder for those codes; None for a checkpoint that only listens.
        output_dir: The checkpoint; an older one there is replaced.
        languages: ISO codes it was trained on, the default one first.
        image_tokenizer_dir: The image tokenizer whose codes it was trained on; None where it neither sees nor draws.
        record: What its card is to say of it; None for a checkpoint without a card.
        text_to_unit_dir: Speaks for a language model that writes text alone; None for one that writes the codes of speech itself.
        image_decoder_dir: A decoder for the codes of the image tokenizer; None where that draws itself, or nothing does.

    Raises:
        TriglotError: parts whose fingerprints or sizes do not fit.
    """
    model = TriglotForConditionalGeneration.from_pretrained(language_model_dir)
    processor = TriglotProcessor(
        AutoTokenizer.from_pretrained(text_tokenizer_dir, trust_remote_code=False),
        model.config.modalities,
        languages,
        sampling_rate=model.config.sampling_rate,
    )
    processor.codecs.speech_tokenizer = load_speech_tokenizer(speech_tokenizer_dir, "auto")
    if speech_decoder_dir is not None:
        processor.codecs.speech_decoder = load_speech_decoder(speech_decoder_dir, "auto")
    if image_tokenizer_dir is not None:
        processor.codecs.image_tokenizer = load_image_tokenizer(image_tokenizer_dir, "auto")
    if text_to_unit_dir is not None:
        processor.codecs.text_to_unit = load_text_to_unit(text_to_unit_dir, "auto")
    if image_decoder_dir is not None:
        processor.codecs.image_decoder = load_image_decoder(image_decoder_dir, "auto")

    with whole_folder(output_dir) as partial:
        model.save_pretrained(partial)
        processor.save_pretrained(partial)
        if record is not None:
            card_beside(output_dir, partial, record)
    return Path(output_dir)
