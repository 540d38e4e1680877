"""Trains a lossless SentencePiece unigram tokenizer and writes it as a fast tokenizer folder that AutoTokenizer loads.

sentences -> sentencepiece (unigram, byte fallback, identity normalisation) -> spiece.model + tokenizer.json

Lossless: `decode(encode(text)) == text` for every unicode string, because nothing is folded or trimmed and U+2581,
which SentencePiece writes for a space, is escaped: DLE (U+0010) -> DLE "0", U+2581 -> DLE "1". Both tokenizers apply
the same rules, and give the same ids.

Encode what a user wrote with the special tokens split, so that no text becomes a control token:

    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    tokenizer.decode(ids, skip_special_tokens=True) == text
"""

import collections
import dataclasses
import io
import json
import math
import os
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from ..processing.errors import TriglotError
from ..processing.whole_files import whole_folder

SPACE = "\u2581"  # SentencePiece's sign for a space
ESCAPE = "\u0010"  # DLE, "data link escape": the control character made for this, in no ordinary text
ESCAPED_ESCAPE, ESCAPED_SPACE = ESCAPE + "0", ESCAPE + "1"

CONTROL_TOKENS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}  # ids 0 to 3
FILES = ("tokenizer.json", "tokenizer_config.json", "spiece.model")
BYTES = 256  # byte pieces <0x00> to <0xFF>, ids 4 to 259

# The fast tokenizer matches control and byte pieces in text as well. It never chooses them when every character of
# their names is a piece of its own (here) and their score is below that of the name spelt out (`_impossible_score`).
_ALWAYS_PIECES = "".join(sorted(set("<>/0123456789ABCDEFx" + "".join(CONTROL_TOKENS.values()))))

# Scores in steps of 1/128 make sums exact in sentencepiece's float32 (to 16,000 pieces a text) and in the fast
# tokenizer's float64: equal paths stay equal, and both then break the tie in the same way.
_SCORE_STEPS = 128

_MAX_PIECE = 16  # characters
_COUNTED_WORDS = 50_000  # different words up to which every substring is counted as a seed piece (about 2 s)

# Left out of what is learnt from: controls, SentencePiece's reserved signs, and "<", so that no piece of text can
# have the name of a control or byte piece. All of these are still encoded, by single pieces or bytes.
_NOT_LEARNT = re.compile("[\u0000-\u001f\u007f-\u009f\u2028\u2029\u2581\u2585<\ud800-\udfff]+")


@dataclasses.dataclass(frozen=True)
class TextTokenizerArguments:
    """Settings of the text tokenizer's training.

    Attributes:
        vocab_size: Number of ids, of which 4 are control tokens and 256 bytes.
        character_coverage: Share of the text's characters that get a piece; the others are spelt in bytes.
        hard_vocab_limit: If True, a text too small for `vocab_size` is an error; if False, the vocabulary shrinks.
        split_digits: If True, every digit is a piece of its own.
        max_sentences: At most this many sentences are kept in memory and learnt from (the first ones).
        model_max_length: Tokens, as written into tokenizer_config.json.
    """

    vocab_size: int = 1000
    character_coverage: float = 1.0
    hard_vocab_limit: bool = True
    split_digits: bool = True
    max_sentences: int = 2_000_000
    model_max_length: int = 4096

    def __post_init__(self) -> None:
        smallest = len(CONTROL_TOKENS) + BYTES + len(_ALWAYS_PIECES) + 1
        if self.vocab_size < smallest:
            raise TriglotError(
                f"vocab_size is {self.vocab_size}; at least {smallest} are needed "
                f"({len(CONTROL_TOKENS)} control tokens, {BYTES} bytes, {len(_ALWAYS_PIECES) + 1} characters)."
            )
        if not 0.98 <= self.character_coverage <= 1.0:
            raise TriglotError(f"character_coverage is {self.character_coverage}; allowed is 0.98 to 1.0.")
        if self.max_sentences < 1:
            raise TriglotError(f"max_sentences is {self.max_sentences}; at least 1 is needed.")
        if self.model_max_length < 1:
            raise TriglotError(f"model_max_length is {self.model_max_length}; at least 1 token is needed.")


def train_text_tokenizer(
    sentences: Iterable[str], output_dir: str | os.PathLike, arguments: TextTokenizerArguments | None = None
) -> Path:
    """Trains the tokenizer and writes its folder, whole or not at all.

    The same sentences and arguments give byte-identical files.

    Args:
        sentences: Texts to learn pieces from, any iterable; each is kept as it is, case and spaces included.
        output_dir: Folder to write: tokenizer.json, tokenizer_config.json, spiece.model. A folder that holds only
            these, or nothing, is replaced; any other is refused.
        arguments: Settings; None for all defaults.

    Returns:
        The folder's path; `AutoTokenizer.from_pretrained` loads it without custom code.

    Raises:
        TriglotError: no text, `vocab_size` out of what the text allows, or a folder that cannot be written.
    """
    arguments = arguments or TextTokenizerArguments()
    output_dir = Path(output_dir)
    _check_output_dir(output_dir)
    model = _train_sentencepiece(_learnable(sentences, arguments.max_sentences), arguments)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_fast_tokenizer(model),
        clean_up_tokenization_spaces=False,
        model_max_length=arguments.model_max_length,
        **CONTROL_TOKENS,
    )
    try:
        with whole_folder(output_dir) as partial:
            tokenizer.save_pretrained(partial)
            (partial / "spiece.model").write_bytes(model)
    except OSError as error:
        raise TriglotError(f"Cannot write the tokenizer to {str(output_dir)!r}: {error}.") from error
    return output_dir


def _check_output_dir(folder: Path) -> None:
    if folder.is_dir():
        others = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
        if others:
            raise TriglotError(
                f"{str(folder)!r} holds files that are no text tokenizer's ({', '.join(others[:5])}); replacing the "
                "folder would delete them. Give a new or an empty folder."
            )
    elif folder.exists():
        raise TriglotError(f"{str(folder)!r} is a file; give the path of a folder to write the tokenizer to.")


def _learnable(sentences: Iterable[str], limit: int) -> list[str]:
    """Cuts texts at characters no piece may hold and at 2,000 characters; at most `limit` lines come back."""
    if isinstance(sentences, str):
        raise TriglotError("sentences is one string; an iterable of strings is needed: [text].")
    lines: list[str] = []
    for sentence in sentences:
        if not isinstance(sentence, str):
            raise TriglotError(f"sentences hold a {type(sentence).__name__} ({sentence!r}); only str is allowed.")
        for line in _NOT_LEARNT.split(sentence):
            lines.extend(line[start : start + 2000] for start in range(0, len(line), 2000) if line.strip())
        if len(lines) >= limit:
            break
    if not lines:
        raise TriglotError("There are no sentences to train the text tokenizer on: none came, or all are blank.")
    return lines[:limit]


def _train_sentencepiece(lines: list[str], arguments: TextTokenizerArguments) -> bytes:
    try:
        import sentencepiece
    except ImportError as error:
        raise TriglotError("Training a text tokenizer needs sentencepiece: pip install sentencepiece") from error
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as scratch:
        rules, inverse, seeds = (os.path.join(scratch, name) for name in ("rules.tsv", "inverse.tsv", "seeds.tsv"))
        escapes = ((ESCAPE, ESCAPED_ESCAPE), (SPACE, ESCAPED_SPACE))
        with open(rules, "w") as forward, open(inverse, "w") as backward:
            for plain, escaped in escapes:
                forward.write(f"{_code_points(plain)}\t{_code_points(escaped)}\n")
                backward.write(f"{_code_points(escaped)}\t{_code_points(plain)}\n")
        extra: dict[str, Any] = {"seed_sentencepieces_file": seeds} if _write_seeds(lines, seeds) else {}
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type="unigram",
                vocab_size=arguments.vocab_size,
                hard_vocab_limit=arguments.hard_vocab_limit,
                character_coverage=arguments.character_coverage,
                split_digits=arguments.split_digits,
                required_chars=_ALWAYS_PIECES,
                byte_fallback=True,
                normalization_rule_tsv=rules,
                denormalization_rule_tsv=inverse,
                remove_extra_whitespaces=False,
                add_dummy_prefix=True,
                max_sentencepiece_length=_MAX_PIECE,
                max_sentence_length=1 << 20,
                unk_id=0,
                bos_id=1,
                eos_id=2,
                pad_id=3,
                unk_piece=CONTROL_TOKENS["unk_token"],
                bos_piece=CONTROL_TOKENS["bos_token"],
                eos_piece=CONTROL_TOKENS["eos_token"],
                pad_piece=CONTROL_TOKENS["pad_token"],
                num_threads=1,  # more add up in another order
                minloglevel=2,
                **extra,
            )
        except RuntimeError as error:
            raise _explain(str(error), arguments) from error
    return _settle(model.getvalue(), scratch)


def _code_points(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)


def _write_seeds(lines: list[str], path: str) -> bool:
    """Writes every substring of the words with its count; False if there are too many words to count so.

    SentencePiece's own seeds are substrings of two or more *different* words. On a small vocabulary that leaves most
    whole words out: 40 tokens for a scene of the demo world, against 11 with these seeds.
    """
    words: collections.Counter[str] = collections.Counter()
    for line in lines:
        words.update((SPACE + line.replace(" ", " " + SPACE)).split(" "))
        if len(words) > _COUNTED_WORDS:
            return False
    counts: collections.Counter[str] = collections.Counter()
    for word, count in words.items():
        for start in range(len(word)):
            for stop in range(start + 2, min(len(word), start + _MAX_PIECE) + 1):
                counts[word[start:stop]] += count
    # Sorted by name too: equal counts must not follow the order of the sentences.
    ordered = sorted(((piece, count) for piece, count in counts.items() if count > 1), key=lambda x: (-x[1], x[0]))
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines(f"{piece}\t{count}\n" for piece, count in ordered[:1_000_000])
    return bool(ordered)


def _explain(message: str, arguments: TextTokenizerArguments) -> TriglotError:
    """SentencePiece's RuntimeError as what came, what is allowed and what to do."""
    if found := re.search(r"value <= (\d+)", message):
        return TriglotError(
            f"vocab_size is {arguments.vocab_size}, more than this text has pieces for; allowed is at most "
            f"{found[1]}. Lower it, give more text, or set hard_vocab_limit=False to take as many as there are."
        )
    if found := re.search(r"(\d+) vs (\d+)", message):
        return TriglotError(
            f"vocab_size is {arguments.vocab_size}, too few for the characters of this text; at least {found[2]} are "
            f"needed. Raise it, or lower character_coverage ({arguments.character_coverage}) to spell rare "
            "characters in bytes."
        )
    return TriglotError(f"SentencePiece cannot train on this text: {message}")


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(field number, the key's bytes, the value's bytes) of every field; a length is not part of the value."""
    position = 0
    while position < len(message):
        start = position
        key, position = _read_varint(message, position)
        head, kind = message[start:position], key & 7
        if kind == 0:
            stop = _read_varint(message, position)[1]
        elif kind == 2:
            length, position = _read_varint(message, position)
            stop = position + length
        else:
            stop = position + {1: 8, 5: 4}[kind]
        yield key >> 3, head, message[position:stop]
        position = stop


def _field(head: bytes, value: bytes) -> bytes:
    return head + (_varint(len(value)) if head[0] & 7 == 2 else b"") + value


def _settle(model: bytes, scratch: str) -> bytes:
    """Rounds the scores of a serialised sentencepiece ModelProto and drops the temporary paths it recorded.

    The messages, from sentencepiece_model.proto (read here without the protobuf package): field 1 is a piece, whose
    field 2 is the score, a float; fields 2, 3 and 5 are the settings of the trainer and of the normalisers.
    """
    settled = bytearray()
    for number, head, value in _fields(model):
        if number == 1:
            value = b"".join(_field(key, _rounded(inner) if n == 2 else inner) for n, key, inner in _fields(value))
        elif number in (2, 3, 5):
            value = b"".join(_field(key, inner) for _, key, inner in _fields(value) if scratch.encode() not in inner)
        settled += _field(head, value)
    return bytes(settled)


def _rounded(score: bytes) -> bytes:
    return struct.pack("<f", round(struct.unpack("<f", score)[0] * _SCORE_STEPS) / _SCORE_STEPS)


def _fast_tokenizer(model: bytes) -> Tokenizer:
    """The same pieces, scores and rules in the `tokenizers` library."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = range(processor.get_piece_size())
    pieces = [(processor.id_to_piece(id), processor.get_score(id)) for id in ids]
    in_text = [
        not (processor.is_unknown(id) or processor.is_control(id) or processor.is_byte(id) or processor.is_unused(id))
        for id in ids
    ]
    _check_pieces([piece for (piece, _), text in zip(pieces, in_text) if text])
    impossible = _impossible_score([score for (_, score), text in zip(pieces, in_text) if text])
    vocabulary = [(piece, score if text else impossible) for (piece, score), text in zip(pieces, in_text)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=processor.unk_id(), byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(ESCAPE, ESCAPED_ESCAPE),
            normalizers.Replace(SPACE, ESCAPED_SPACE),
            normalizers.Prepend(SPACE),
            normalizers.Replace(" ", SPACE),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),  # before the bytes are joined: only a piece's sign is a space
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
            decoders.Replace(ESCAPED_SPACE, SPACE),
            decoders.Replace(ESCAPED_ESCAPE, ESCAPE),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in CONTROL_TOKENS.values()]
    )
    return tokenizer


def _impossible_score(scores: list[float]) -> float:
    """A score below that of any path through the characters of a control or byte piece's name (at most 6)."""
    return float(math.floor(8 * min(scores)) - 100)


def _check_pieces(pieces: list[str]) -> None:
    """What the fast tokenizer's equality rests on: every character used, and those of the control names, is a piece."""
    known = set(pieces)
    characters = set("".join(pieces)) | set(_ALWAYS_PIECES)
    missing = sorted(characters - known)
    if missing:
        raise TriglotError(
            f"SentencePiece left the characters {json.dumps(missing)} out of the vocabulary; raise vocab_size or "
            "character_coverage."
        )
