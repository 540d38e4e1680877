"""CTC frames -> words of a lexicon, every word as likely as any other after any other: spelling is repaired, sentences are not.

The best path (Viterbi) through a loop of words, each a chain of its characters with blanks between them:

            ┌──────────────── every word ────────────────┐
    pause ──┼─▶ c1 ─ blank ─ c2 ─ blank ─ ... cn ─ blank ─┼──▶ space ─▶ pause
      ▲     └─────────────────────────────────────────────┘              │
      └──────────────────────────────────────────────────────────────────┘

Shapes: T frames, V outputs (0 the blank, 1 + place of a character), S states of all words.
"""

from collections.abc import Sequence

import numpy as np

MISSING_SPACE = 3.0  # nats that a word costs which follows another without a space that was heard
NEVER = -1e9


class Lexicon:
    """The words of one language and their states.

    Args:
        words: Without spaces, of characters in `characters`.
        characters: Character i is output 1 + i; the space is one of them.
    """

    def __init__(self, words: Sequence[str], characters: str):
        place = {character: 1 + index for index, character in enumerate(characters)}
        self.words = [word for word in words if word]
        chains = [[output for character in word for output in (place[character], 0)] for word in self.words]
        self.outputs = np.array([output for chain in chains for output in chain], dtype=np.int64)  # (S,)
        ends = np.cumsum([len(chain) for chain in chains])
        self.first, self.last = ends - [len(chain) for chain in chains], ends - 1
        self.space = place[" "]
        # a character may follow the one before without a blank, unless the two are alike
        before = np.concatenate(([0, 0], self.outputs[:-2]))
        self.may_skip = (self.outputs != 0) & (self.outputs != before)
        self.may_skip[self.first] = False

    def best_words(self, log_probs: np.ndarray) -> list[str]:
        """Float (T, V) log probabilities -> the words of the best path; none where nothing but blanks is heard."""
        found: list[tuple[int, int]] = [(-1, 0)]  # (word, the entry before it); entry 0 is the beginning
        scores = np.full(len(self.outputs), NEVER)
        entries = np.zeros(len(self.outputs), dtype=np.int64)  # what was found before the word that a state is in
        space, pause, ended = (NEVER, 0), (0.0, 0), (NEVER, 0)  # (score, entry)
        for frame in np.maximum(log_probs.astype(np.float64), -50.0):
            begin, begin_entry = max(space, pause, (ended[0] - MISSING_SPACE, ended[1]))
            one, one_entries = _moved(scores, 1, NEVER), _moved(entries, 1, 0)
            one[self.first], one_entries[self.first] = begin, begin_entry
            two = np.where(self.may_skip, _moved(scores, 2, NEVER), NEVER)
            best, best_entries = scores, entries
            for other, other_entries in ((one, one_entries), (two, _moved(entries, 2, 0))):
                better = other > best
                best, best_entries = np.where(better, other, best), np.where(better, other_entries, best_entries)
            scores, entries = best + frame[self.outputs], best_entries
            pause, space = max(pause, space), max(space, ended)
            pause, space = (pause[0] + frame[0], pause[1]), (space[0] + frame[self.space], space[1])
            ended = self._ended(scores, entries, found)
        _, entry = max(space, pause, ended)
        words: list[str] = []
        while entry:
            word, entry = found[entry]
            words.append(self.words[word])
        return words[::-1]

    def _ended(self, scores: np.ndarray, entries: np.ndarray, found: list[tuple[int, int]]) -> tuple[float, int]:
        """(score, new entry) of the best word that is at its last character or the blank after it."""
        at_end = np.maximum(scores[self.last], scores[self.last - 1])
        word = int(at_end.argmax())
        state = self.last[word] - int(scores[self.last[word] - 1] > scores[self.last[word]])
        found.append((word, int(entries[state])))
        return float(at_end[word]), len(found) - 1


def _moved(values: np.ndarray, places: int, fill: float) -> np.ndarray:
    """(S,) -> each state gets the value of the state so many places before it."""
    moved = np.full_like(values, fill)
    moved[places:] = values[:-places]
    return moved
