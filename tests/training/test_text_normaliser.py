"""The normaliser keeps letters, marks and digits of every script, and drops punctuation and symbols."""

import random
import unicodedata

import pytest

from triglot.training.text_normaliser import normalise_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("छोटा", "छोटा"),
        ("बड़ा लाल घेरा, छोटे नीले वर्ग के ऊपर है।", "बड़ा लाल घेरा छोटे नीले वर्ग के ऊपर है"),
        ("ज़मीन", "ज\u093cमीन"),  # one code point or letter and nukta: one spelling
        ("१२ 12", "१२ 12"),
        ("¿Dónde está el NIÑO?", "dónde está el niño"),
        ("nin\u0303o", "niño"),
        ("  Hello,\tworld!\n", "hello world"),
        ("a+b=c $5 100%", "a b c 5 100"),
        ("well-known a/b", "well known a b"),
        ("don't DON’T", "dont dont"),
        ("", ""),
        ("... !?", ""),
    ],
)
def test_what_stays_and_what_goes(text, expected):
    assert normalise_text(text) == unicodedata.normalize("NFC", expected)


def test_nothing_but_punctuation_symbols_case_and_spaces_is_lost():
    """Over every letter, mark and digit of the plane of living scripts."""
    for code in range(0x10000):
        character = chr(code)
        if unicodedata.category(character)[0] not in "LMN":
            continue
        assert normalise_text(character) == unicodedata.normalize(
            "NFC", unicodedata.normalize("NFC", character).lower()
        ), hex(code)


def test_a_second_pass_changes_nothing():
    rng = random.Random(0)
    alphabet = "aİß'’´-. \u0301\u093c\u0327ज़छोटाÅ;\u037e\u1fef`ﬁ١"
    for _ in range(2000):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 12)))
        once = normalise_text(text)
        assert normalise_text(once) == once
        assert not any(unicodedata.category(character)[0] in "PS" for character in once)
