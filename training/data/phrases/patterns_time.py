"""Patterns of the topics time and weather."""

import random

from .amounts import _at, _clock, _date
from .clauses import _plan
from .grammar import _somebody, _subject
from .inflection import Parallel
from .numbers import LARGEST, number_words
from .registry import _pattern
from .words_places import CITIES, COUNTRIES
from .words_times import (
    DAY_PARTS,
    DAYS,
    FREQUENCIES,
    FUTURE_TIMES,
    MONTHS,
    SEASONS,
    WEATHER,
    WEATHER_HABITS,
    WEATHER_NOW,
)


@_pattern("time", 1)
def _time_now(rng: random.Random) -> Parallel:
    """It is a quarter past seven in the morning."""
    (en, es, hi), first, last = rng.choice(DAY_PARTS)
    hour = rng.randint(first, last)
    english, spanish, hindi = _clock(rng, hour)
    one = hour == 1
    of, be = ("का", "बजा है") if one else ("के", "बजे हैं")
    return f"it is {english} {en}", f"{'es' if one else 'son'} {spanish} {es}", f"{hi} {of} {hindi} {be}"


@_pattern("time", 1)
def _minutes(rng: random.Random) -> Parallel:
    """It is twenty three minutes past seven in the morning."""
    (en, es, hi), first, last = rng.choice(DAY_PARTS)
    hour, minutes = rng.randint(first, last), rng.choice([*range(2, 15), *range(16, 30)])
    spanish = "es la una" if hour == 1 else f"son las {number_words(hour, 'es')}"
    return (
        f"it is {number_words(minutes, 'en')} minutes past {number_words(hour, 'en')} {en}",
        f"{spanish} y {number_words(minutes, 'es', 'm')} minutos {es}",
        f"{hi} के {number_words(hour, 'hi')} बजकर {number_words(minutes, 'hi')} मिनट हुए हैं",
    )


@_pattern("time", 1)
def _today(rng: random.Random) -> Parallel:
    """Today is monday the third of march."""
    day, date = rng.choice(DAYS), _date(rng)
    return f"today is {day[0]} {date[0]}", f"hoy es {day[1]} {date[1]}", f"आज {day[2]} {date[2]} है"


@_pattern("time")
def _birthday(rng: random.Random) -> Parallel:
    """The birthday of my sister is on the third of march."""
    who, date = _somebody(rng), _date(rng)
    return (
        f"the birthday of {who.en} is on {date[0]}",
        f"el cumpleaños de {who.es} es el {date[1]}",
        f"{who.oblique} का जन्मदिन {date[2]} को है",
    )


@_pattern("time")
def _meeting(rng: random.Random) -> Parallel:
    """The meeting with maria is on tuesday at half past ten in the morning."""
    who, day, time = _somebody(rng), rng.choice(DAYS), _at(rng)
    return (
        f"the meeting with {who.en} is on {day[0]} at {time[0]}",
        f"la reunión con {who.es} es el {day[1]} a {time[1]}",
        f"{who.oblique} के साथ मीटिंग {day[2]} को {time[2]} है",
    )


@_pattern("weather")
def _forecast(rng: random.Random) -> Parallel:
    """On monday it will be cold in madrid and it will rain in london."""
    when = rng.choice((FUTURE_TIMES[0], FUTURE_TIMES[1], FUTURE_TIMES[2], *FUTURE_TIMES[-7:]))
    first, second = rng.sample(WEATHER, 2)
    city, other = rng.sample(CITIES, 2)
    if rng.random() < 0.5:
        return (
            f"{when[0]} {first[0]} in {city[0]}",
            f"{when[1]} {first[1]} en {city[1]}",
            f"{when[2]} {city[2]} में {first[2]}",
        )
    return (
        f"{when[0]} {first[0]} in {city[0]} and {second[0]} in {other[0]}",
        f"{when[1]} {first[1]} en {city[1]} y {second[1]} en {other[1]}",
        f"{when[2]} {city[2]} में {first[2]} और {other[2]} में {second[2]}",
    )


@_pattern("weather")
def _weather_now(rng: random.Random) -> Parallel:
    """Today it is raining in madrid but it is very sunny in london."""
    (first, second), (city, other) = rng.sample(WEATHER_NOW, 2), rng.sample(CITIES, 2)
    return (
        f"today {first[0]} in {city[0]} but {second[0]} in {other[0]}",
        f"hoy {first[1]} en {city[1]} pero {second[1]} en {other[1]}",
        f"आज {city[2]} में {first[2]} लेकिन {other[2]} में {second[2]}",
    )


@_pattern("weather")
def _climate(rng: random.Random) -> Parallel:
    """In nepal it often rains in july."""
    place, what, often = rng.choice(CITIES + COUNTRIES), rng.choice(WEATHER_HABITS), rng.choice(FREQUENCIES)
    when = rng.choice((*SEASONS, *((f"in {en}", f"en {es}", f"{hi} में") for en, es, hi in MONTHS)))
    # 'is' comes before an adverb, 'rains' after it
    english = f"is {often[0]} {what[0][3:]}" if what[0].startswith("is ") else f"{often[0]} {what[0]}"
    return (
        f"in {place[0]} it {english} {when[0]}",
        f"en {place[1]} {often[1]} {what[1]} {when[1]}",
        f"{place[2]} में {when[2]} {often[2]} {what[2]}",
    )


@_pattern("weather")
def _temperature(rng: random.Random) -> Parallel:
    """Today the temperature in paris is twenty one degrees."""
    city, degrees = rng.choice(CITIES), rng.randint(2, LARGEST)
    when = rng.choice(
        (
            ("today", "hoy", "आज", "is", "es", "है"),
            ("tomorrow", "mañana", "कल", "will be", "será", "होगा"),
            *((f"on {en}", f"el {es}", f"{hi} को", "will be", "será", "होगा") for en, es, hi in DAYS),
        )
    )
    return (
        f"{when[0]} the temperature in {city[0]} {when[3]} {number_words(degrees, 'en')} degrees",
        f"{when[1]} la temperatura en {city[1]} {when[4]} de {number_words(degrees, 'es', 'm')} grados",
        f"{when[2]} {city[2]} में तापमान {number_words(degrees, 'hi')} डिग्री {when[5]}",
    )


@_pattern("weather", 3)
def _if_it_rains(rng: random.Random) -> Parallel:
    """If it rains tomorrow my sister will read the newspaper."""
    when = rng.choice((FUTURE_TIMES[0], FUTURE_TIMES[1], FUTURE_TIMES[2], *FUTURE_TIMES[-7:]))
    en, es, hi = rng.choice(
        (
            ("rains", "llueve", "बारिश होगी"),
            ("snows", "nieva", "बर्फ़ गिरेगी"),
            ("is sunny", "hace sol", "धूप निकलेगी"),
            ("is cold", "hace frío", "ठंड होगी"),
            ("is hot", "hace calor", "गर्मी होगी"),
        )
    )
    plan = _plan(rng, _subject(rng))
    return f"if it {en} {when[0]} {plan[0]}", f"si {when[1]} {es} {plan[1]}", f"अगर {when[2]} {hi} तो {plan[2]}"
