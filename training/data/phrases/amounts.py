"""Amounts and times in words: the clock, dates, two cups of tea, meals."""

import random
import re
from collections.abc import Sequence

from .grammar import _noun_phrase
from .inflection import Parallel
from .numbers import number_words, ordinal_words
from .words_things import FOODS, MEASURED, MEASURES
from .words_times import DAY_PARTS, MONTH_DAYS, MONTHS


def _at(rng: random.Random, quarters: bool = True) -> Parallel:
    """A time of day, after 'at'; Spanish with its article."""
    (en, es, hi), first, last = rng.choice(DAY_PARTS)
    hour = rng.randint(first, last)
    english, spanish, hindi = _clock(rng, hour, quarters)
    return f"{english} {en}", f"{spanish} {es}", f"{hi} {hindi} बजे"


def _clock(rng: random.Random, hour: int, quarters: bool = True) -> Parallel:
    """An hour, with a quarter, a half or nothing: a quarter to eight, las ocho menos cuarto, पौने आठ."""
    en, hi = number_words(hour, "en"), number_words(hour, "hi")
    es = "la una" if hour == 1 else f"las {number_words(hour, 'es')}"
    kinds = [(en, es, hi)]
    if quarters:
        half = {1: "डेढ़", 2: "ढाई"}.get(hour, f"साढ़े {hi}")
        kinds += [
            (f"a quarter past {en}", f"{es} y cuarto", f"सवा {hi}"),
            (f"half past {en}", f"{es} y media", half),
        ]
        if hour > 1:
            kinds.append((f"a quarter to {en}", f"{es} menos cuarto", f"पौने {hi}"))
    return rng.choice(kinds)


def _date(rng: random.Random) -> Parallel:
    """The third of march, tres de marzo, तीन मार्च."""
    month = rng.randrange(12)
    day = rng.randint(1, MONTH_DAYS[month])
    en, es, hi = MONTHS[month]
    spanish = "primero" if day == 1 else number_words(day, "es")
    return f"the {ordinal_words(day)} of {en}", f"{spanish} de {es}", f"{number_words(day, 'hi')} {hi}"


def _amount(rng: random.Random, measures: Sequence[str] = ()) -> Parallel:
    """Two cups of tea in one of these measures; without any, all measures and three apples too."""
    if not measures and rng.random() < 0.3:
        phrase = _noun_phrase(rng.choice(FOODS), count=rng.randint(2, 12))
        return phrase.en, phrase.es, phrase.hi
    measure, goods = rng.choice([row for row in MEASURED if not measures or row[0] in measures])
    english, spanish, hindi = MEASURES[measure]
    one, several, gender = spanish.split()
    count, noun = rng.randint(1, 12), rng.choice(goods)
    en_words, es_words = english.split(), (one, several)
    number = number_words(count, "en") if count > 1 else "a"
    return (
        f"{number} {en_words[count > 1]} of {noun.en}",
        f"{number_words(count, 'es', gender)} {es_words[count > 1]} de {noun.es}",
        f"{number_words(count, 'hi')} {hindi} {noun.hi}",
    )


def _meal(words: Parallel) -> tuple[str, str, str, str]:
    """(English, Spanish with article, Hindi, Hindi oblique)."""
    en, spanish, hi = words
    es, gender = spanish.split()
    return en, f"{'la' if gender == 'f' else 'el'} {es}", hi, re.sub("ा$", "े", hi.replace(" का ", " के "))
