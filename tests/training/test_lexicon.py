"""Words from CTC frames: clear ones, misspelt ones, run together ones, doubled letters, silence; nothing outside the lexicon."""

import numpy as np
import pytest

from triglot.training.lexicon import Lexicon

CHARACTERS = " abcdehlort"
WORDS = ["a", "all", "ball", "bat", "cat", "red", "the", "to"]


def lexicon():
    return Lexicon(WORDS, CHARACTERS)


def frames(path: str, sure: float = 0.9) -> np.ndarray:
    """Log probabilities (T, V) for one output a frame; "_" is the blank."""
    probabilities = np.full((len(path), 1 + len(CHARACTERS)), (1 - sure) / len(CHARACTERS))
    for row, output in enumerate(path):
        probabilities[row, 0 if output == "_" else 1 + CHARACTERS.index(output)] = sure
    return np.log(probabilities)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("_c_a_tt_ _r_e__d_", "cat red"),
        ("aa ba_l_l_ to", "a ball to"),
        ("b_al__l cat", "ball cat"),
        ("c_o_t", "cat"),  # misspelt: as near to no other word
        ("_redcat_", "red cat"),
        ("red_ca_t_to", "red cat to"),
        ("", ""),
        ("______", ""),
    ],
)
def test_paths_become_words(path, words):
    assert lexicon().best_words(frames(path)) == words.split()


def test_a_doubled_letter_needs_a_blank():
    both = Lexicon(["al", "all"], CHARACTERS)
    assert both.best_words(frames("a_l_l")) == ["all"]
    assert both.best_words(frames("a_lll")) == ["al"]


def test_what_is_no_word_is_never_written():
    rng = np.random.default_rng(0)
    logits = 4 * rng.standard_normal((200, 1 + len(CHARACTERS)))
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    words = lexicon().best_words(log_probs)
    assert words and set(words) <= set(WORDS)


def test_impossible_outputs_do_no_harm():
    log_probs = frames("_c_a_t_ _r_e_d_")
    log_probs[:, 1 + CHARACTERS.index("b")] = -np.inf
    assert lexicon().best_words(log_probs) == ["cat", "red"]
