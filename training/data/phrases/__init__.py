"""Everyday phrases of the demo world: parallel sentences in English, Spanish and Hindi, made from tables and patterns.

    family   my sister will read the newspaper tomorrow
             mi hermana leerá el periódico mañana
             मेरी बहन कल अख़बार पढ़ेगी

A pattern is one small function, random.Random -> (English, Spanish, Hindi), registered with its topic. Sentences are
lower case, without punctuation, with numbers in words, 3 to 20 words long.

Within the world a translation is unique, so it can be scored by equality: 'you' is always usted and आप, 'the' is
always said in English and Spanish, a word has one translation. The speaker's gender, which only Hindi verbs show, never
occurs: "i" stands in constructions without it (मुझे चाहिए), other sentences take "we" and third persons.
"""

import random
from dataclasses import dataclass

from ....processing.errors import TriglotError
from ..scenes import SCENE_LANGUAGES
from . import patterns_home, patterns_people, patterns_time, patterns_town  # noqa: F401  (they register their patterns)
from .fragments import random_fragment
from .grammar import _noun_phrase as _noun_phrase
from .grammar import _spelt
from .inflection import Parallel
from .numbers import number_words, ordinal_words
from .registry import TOPICS, registered
from .words_people import BODY_PAIRS, LEFT_RIGHT
from .words_things import ADJECTIVES, COLOURS, NOUNS

__all__ = [
    "ADJECTIVES",
    "BODY_PAIRS",
    "COLOURS",
    "LEFT_RIGHT",
    "NOUNS",
    "PATTERNS",
    "TOPICS",
    "WORDS",
    "Parallel",
    "Phrase",
    "number_words",
    "ordinal_words",
    "random_fragment",
    "random_phrase",
]

PATTERNS = registered()
WORDS = (3, 20)  # least and most words of a sentence, in every language


@dataclass(frozen=True)
class Phrase:
    """One sentence in three languages."""

    topic: str
    english: str
    spanish: str
    hindi: str

    def sentence(self, language: str) -> str:
        """The phrase in "en", "es" or "hi".

        Raises:
            TriglotError: another language.
        """
        sentences = dict(zip(SCENE_LANGUAGES, (self.english, self.spanish, self.hindi)))
        if language not in sentences:
            raise TriglotError(f"language is {language!r}; allowed are {', '.join(sentences)}.")
        return sentences[language]


def random_phrase(rng: random.Random) -> Phrase:
    """A phrase of any pattern, 3 to 20 words long in every language."""
    while True:
        topic, pattern = rng.choice(PATTERNS)
        english, spanish, hindi = pattern(rng)
        phrase = Phrase(topic, *_spelt(english, spanish), hindi)
        if all(WORDS[0] <= len(phrase.sentence(language).split()) <= WORDS[1] for language in SCENE_LANGUAGES):
            return phrase
