"""Fragments: a few words that are no sentence, in three languages; rare words come as often as frequent ones.

    three green lamps | tres lámparas verdes | तीन हरे लैंप
    buy the flowers   | comprar las flores   | फूल ख़रीदना

A dictionary for training: a sentence shows a rare word rarely, a list of words shows all of them. What can be a whole sentence
by itself (a greeting, the weather) is left out, so that no fragment is a held-out sentence.
"""

import random
from collections.abc import Callable

from ..scenes import COLOURS as SCENE_COLOURS
from ..scenes import SCENE_LANGUAGES, SHAPES, SIZES, SceneObject
from .amounts import _amount, _at, _date
from .clauses import _activities
from .grammar import _named, _noun_phrase, _relative, _spelt
from .inflection import Parallel
from .numbers import LARGEST, number_words
from .words_people import BODY, BODY_PAIRS, ILLNESSES
from .words_places import BY, CITIES, COUNTRIES, SUBJECTS_TAUGHT, TONGUES
from .words_things import ADJECTIVES, COLOURS, COUNTED, NOUNS, QUALITIES
from .words_times import DAYS, FREQUENCIES, FUTURE_TIMES, HABIT_TIMES, MONTHS, SEASONS

WORDS = (1, 6)  # least and most, in every language
_DETERMINERS = ("the", "the", "the", "a", "this", "that", "my", "our", "your")
_TABLES = (
    *(CITIES, COUNTRIES, TONGUES, SUBJECTS_TAUGHT, BY, ILLNESSES),
    *(DAYS, MONTHS, SEASONS, FUTURE_TIMES, HABIT_TIMES, FREQUENCIES),
)
_WORDS = tuple(row for table in _TABLES for row in table)
_NOUNS = (*NOUNS.values(), *BODY, *BODY_PAIRS)


def _thing(rng: random.Random) -> Parallel:
    """My green lamps, twelve chairs."""
    noun = rng.choice(_NOUNS)
    plural = noun in COUNTED and rng.random() < 0.3
    colours = [rng.choice(list(COLOURS.values()))] if rng.random() < 0.25 else []
    count = rng.randint(2, 12) if noun in COUNTED and rng.random() < 0.15 else 0
    determiner = "the" if plural else rng.choice(_DETERMINERS)
    phrase = _noun_phrase(noun, determiner, colours, plural, count)
    return phrase.en, phrase.es, phrase.hi


def _quality_of(rng: random.Random) -> Parallel:
    """This expensive hat."""
    nouns, names = rng.choice(QUALITIES)
    phrase = _noun_phrase(
        rng.choice(nouns), rng.choice(("the", "this", "that")), [ADJECTIVES[rng.choice(names.split())]]
    )
    return phrase.en, phrase.es, phrase.hi


def _scene_object(rng: random.Random) -> Parallel:
    """A big green star."""
    thing = SceneObject(rng.choice(list(SIZES)), rng.choice(list(SCENE_COLOURS)), rng.choice(list(SHAPES)))
    en, es, hi = (thing.phrase(language) for language in SCENE_LANGUAGES)
    return en, es, hi


def _number(rng: random.Random) -> Parallel:
    """Forty two."""
    number = rng.randint(1, LARGEST)
    en, es, hi = (number_words(number, language) for language in SCENE_LANGUAGES)
    return en, es, hi


def _measure(rng: random.Random) -> Parallel:
    """A time of day, a date, so much of something."""
    return rng.choice((_at, _date, _amount))(rng)


def _person(rng: random.Random) -> Parallel:
    """Lucia, our uncle."""
    who = rng.choice((_named, _relative))(rng)
    return who.en, who.es, who.hi


def _activity(rng: random.Random) -> Parallel:
    """Buy the flowers."""
    what = rng.choice(_activities())
    return (
        f"{what.en[0]} {what.tail[0]}".strip(),
        f"{what.es[0]} {what.tail[1]}".strip(),
        f"{what.hi} {what.stem}ना".strip(),
    )


def _word(rng: random.Random) -> Parallel:
    """A city, a day, by bus, every week."""
    return rng.choice(_WORDS)


_KINDS: tuple[tuple[Callable[[random.Random], Parallel], int], ...] = (  # with their weights
    (_thing, 10),
    (_quality_of, 2),
    (_scene_object, 1),
    (_number, 4),
    (_measure, 2),
    (_person, 2),
    (_activity, 4),
    (_word, 4),
)


def random_fragment(rng: random.Random) -> Parallel:
    """A fragment in English, Spanish and Hindi, of at most six words in each."""
    kinds, weights = zip(*_KINDS)
    while True:
        (kind,) = rng.choices(kinds, weights)
        english, spanish, hindi = kind(rng)
        fragment = (*_spelt(english, spanish), hindi)
        if all(WORDS[0] <= len(text.split()) <= WORDS[1] for text in fragment):
            return fragment
