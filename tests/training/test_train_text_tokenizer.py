"""The text tokenizer: lossless, the same ids as SentencePiece's own, and no text that becomes a control token."""

import filecmp
import json
import random

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from triglot.processing.errors import TriglotError
from triglot.training import train_text_tokenizer as module
from triglot.training.train_text_tokenizer import CONTROL_TOKENS, TextTokenizerArguments, train_text_tokenizer

sentencepiece = pytest.importorskip("sentencepiece")

COLOURS = ("red", "green", "blue", "yellow", "black", "white", "pink", "brown")
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")
SENTENCES = [
    *(f"a small {c} {s} is above a big {d} {t}" for c in COLOURS for d in COLOURS[:2] for s in SHAPES for t in SHAPES),
    *["un círculo rojo pequeño está encima de un cuadrado azul grande", "una estrella amarilla está debajo"] * 20,
    *["एक छोटा लाल वृत्त एक बड़े नीले वर्ग के ऊपर है", "सफ़ेद तारा काले त्रिभुज के बाईं ओर है"] * 20,
    *["<s> <0x41> </s> <pad> <unk>", "tab\there \u2581 \x10 under \x00", "Numbers 0123456789, [S2ST English Spanish]!"]
    * 20,
]
ARGUMENTS = TextTokenizerArguments(vocab_size=600, hard_vocab_limit=False)

HARD = [
    "",
    " ",
    "   ",
    " leading",
    "trailing  ",
    "two  spaces   three",
    "tab\tnewline\nreturn\r\n",
    "\u2581",
    "\u2581\u2581 \u2581a",
    "\x10",
    "\x100",
    "\x101",
    "\x10\x10\u25811\x10",
    "\x00",
    "a\x00b\x00",
    "🙂👩‍👩‍👧🏽",
    "e\u0301 é \u0301",
    "छोटा सफ़ेद ज़्यादा",
    "<s>",
    "</s>",
    "<pad>",
    "<unk>",
    "<0x41>",
    "<0x41><0xFF><0x00>",
    "<|speech|>",
    " <s> red </s> ",
    "\ufeff\u200b\u2028\u00a0\ufffd\uffff\U0010ffff",
    "don 't , he said .",
]


def _fuzzed(count: int, seed: int = 0) -> list[str]:
    generator = random.Random(seed)
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    planes = [
        (0x00, 0x20),
        (0x20, 0x7F),
        (0x80, 0x370),
        (0x900, 0x980),
        (0x2500, 0x2600),
        (0x4E00, 0xA000),
        (0xE000, 0x10000),
        (0x10000, 0x20000),
        (0xE0000, 0x110000),
    ]
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(generator.randint(0, 12)):
            kind = generator.random()
            if kind < 0.35:
                parts.append(generator.choice(words))
            elif kind < 0.6:
                parts.append(generator.choice(HARD))
            elif kind < 0.8:
                parts.append(" " * generator.randint(1, 3))
            else:
                low, high = generator.choice(planes)
                parts.append("".join(chr(generator.randrange(low, high)) for _ in range(generator.randint(1, 6))))
        texts.append("".join(parts))
    return texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return train_text_tokenizer(SENTENCES, tmp_path_factory.mktemp("text") / "tokenizer", ARGUMENTS)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def reference(folder):
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))


def _encode(tokenizer, text):
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def test_folder_loads_without_custom_code(folder, tokenizer):
    assert sorted(path.name for path in folder.iterdir()) == sorted(module.FILES)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert "auto_map" not in json.loads((folder / "tokenizer_config.json").read_text())
    assert {name: getattr(tokenizer, name) for name in CONTROL_TOKENS} == CONTROL_TOKENS
    assert tokenizer.convert_tokens_to_ids(list(CONTROL_TOKENS.values())) == [0, 1, 2, 3]
    assert tokenizer.clean_up_tokenization_spaces is False


@pytest.mark.parametrize("text", HARD, ids=ascii)
def test_hard_texts_come_back(tokenizer, reference, text):
    ids = _encode(tokenizer, text)
    assert ids == reference.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert reference.decode(ids) == text


def test_fuzzed_texts_agree_with_sentencepiece_and_come_back(tokenizer, reference):
    texts = _fuzzed(10_000)
    ids = _encode(tokenizer, texts)
    assert ids == reference.encode(texts)
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == texts
    assert tokenizer.batch_decode(ids) == texts
    assert all(id >= len(CONTROL_TOKENS) for row in ids for id in row)


def test_a_long_text_agrees(tokenizer, reference):
    text = "".join(_fuzzed(400, seed=1))
    assert _encode(tokenizer, text) == reference.encode(text)
    assert tokenizer.decode(_encode(tokenizer, text)) == text


def test_padded_batches_decode_losslessly(tokenizer):
    texts = [text for text in HARD if text]
    batch = tokenizer(texts, add_special_tokens=False, split_special_tokens=True, padding=True, return_tensors="pt")
    assert tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True) == texts


def test_plain_calls_prepend_nothing(tokenizer):
    assert tokenizer("red")["input_ids"] == tokenizer("red", add_special_tokens=False)["input_ids"]
    assert tokenizer.bos_token_id not in tokenizer("red")["input_ids"]


def test_splitting_is_what_keeps_control_tokens_out(tokenizer):
    assert tokenizer("<s>")["input_ids"] == [tokenizer.bos_token_id]
    assert tokenizer.bos_token_id not in tokenizer("<s>", split_special_tokens=True)["input_ids"]
    assert tokenizer("<s>")["input_ids"] == [tokenizer.bos_token_id]  # the flag of one call does not stay


def test_added_special_tokens_are_split_too(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    size = len(tokenizer)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|speech|>", "<|sep|>"]})
    text = "red<|speech|> <|sep|>"
    assert max(_encode(tokenizer, text)) < size
    assert tokenizer.decode(_encode(tokenizer, text), skip_special_tokens=True) == text


def test_saved_again_it_stays_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert _encode(again, HARD) == _encode(tokenizer, HARD)


def test_words_are_whole_and_the_same_at_the_start_and_inside(tokenizer):
    pieces = tokenizer.convert_ids_to_tokens(_encode(tokenizer, "circle circle वृत्त cuadrado"))
    assert pieces == ["▁circle", "▁circle", "▁वृत्त", "▁cuadrado"]


def test_every_id_is_used_once(tokenizer, reference):
    assert len(tokenizer) == reference.get_piece_size() == len(set(tokenizer.get_vocab()))


def test_same_sentences_give_identical_files(folder, tmp_path):
    again = train_text_tokenizer(iter(SENTENCES), tmp_path / "again", ARGUMENTS)
    assert filecmp.cmpfiles(folder, again, module.FILES, shallow=False) == (list(module.FILES), [], [])


def test_large_vocabularies_fall_back_to_sentencepieces_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_COUNTED_WORDS", 5)
    folder = train_text_tokenizer(SENTENCES, tmp_path / "tokenizer", ARGUMENTS)
    fast = AutoTokenizer.from_pretrained(folder)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    texts = _fuzzed(500, seed=2)
    assert _encode(fast, texts) == reference.encode(texts)


def test_uncovered_characters_are_spelt_in_bytes(tmp_path):
    rare = [*SENTENCES, "a 漢 字"]
    folder = train_text_tokenizer(
        rare, tmp_path / "tokenizer", TextTokenizerArguments(vocab_size=380, character_coverage=0.99)
    )
    fast = AutoTokenizer.from_pretrained(folder)
    assert "漢" not in fast.get_vocab()
    texts = ["漢字 वृत्त", *_fuzzed(500, seed=3)]
    reference = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    assert len(fast) == 380
    assert _encode(fast, texts) == reference.encode(texts)
    assert fast.batch_decode(_encode(fast, texts)) == texts


@pytest.mark.parametrize("sentences", [[], ["", "  ", "\n\t"]], ids=["none", "blank"])
def test_no_sentences(tmp_path, sentences):
    with pytest.raises(TriglotError, match="no sentences"):
        train_text_tokenizer(sentences, tmp_path / "tokenizer", ARGUMENTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sentences", ["one string", [b"bytes"], [None]], ids=["str", "bytes", "None"])
def test_sentences_that_are_no_strings(tmp_path, sentences):
    with pytest.raises(TriglotError, match="str"):
        train_text_tokenizer(sentences, tmp_path / "tokenizer", ARGUMENTS)


def test_vocabulary_too_large_for_the_text(tmp_path):
    with pytest.raises(TriglotError, match=r"vocab_size is 9000.* at most \d+.*hard_vocab_limit=False"):
        train_text_tokenizer(["a red circle"], tmp_path / "t", TextTokenizerArguments(vocab_size=9000))
    assert not list(tmp_path.iterdir())


def test_vocabulary_too_small_for_the_text(tmp_path):
    with pytest.raises(TriglotError, match=r"vocab_size is 310.*at least \d+"):
        train_text_tokenizer(
            ["".join(chr(0x4E00 + i) for i in range(200))], tmp_path / "t", TextTokenizerArguments(vocab_size=310)
        )


@pytest.mark.parametrize(
    "values", [{"vocab_size": 100}, {"character_coverage": 1.5}, {"max_sentences": 0}, {"model_max_length": 0}]
)
def test_senseless_arguments(values):
    with pytest.raises(TriglotError, match=next(iter(values))):
        TextTokenizerArguments(**values)


def test_an_earlier_tokenizer_is_replaced_and_nothing_stays_behind(tmp_path):
    target = tmp_path / "tokenizer"
    train_text_tokenizer(["a red circle"], target, TextTokenizerArguments(hard_vocab_limit=False))
    before = (target / "tokenizer.json").read_bytes()
    train_text_tokenizer(SENTENCES, target, ARGUMENTS)
    assert (target / "tokenizer.json").read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]


def test_folders_with_other_files_are_left_alone(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("weights")
    with pytest.raises(TriglotError, match=r"model\.safetensors"):
        train_text_tokenizer(SENTENCES, tmp_path, ARGUMENTS)
    assert (tmp_path / "model.safetensors").read_text() == "weights"
    with pytest.raises(TriglotError, match="is a file"):
        train_text_tokenizer(SENTENCES, tmp_path / "tokenizer.json", ARGUMENTS)


def test_a_failure_while_writing_leaves_the_old_folder(tmp_path, monkeypatch):
    target = train_text_tokenizer(SENTENCES, tmp_path / "tokenizer", ARGUMENTS)
    before = (target / "tokenizer.json").read_bytes()

    def fail(self, *args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", fail)
    with pytest.raises(TriglotError, match="disk full"):
        train_text_tokenizer(SENTENCES[:10], target, ARGUMENTS)
    assert (target / "tokenizer.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]
