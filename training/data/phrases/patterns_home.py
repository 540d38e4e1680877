"""Patterns of the topics food, home and health."""

import random

from .amounts import _amount, _meal
from .clauses import (
    _EN_BE,
    _EN_HAVE,
    _ES_BE,
    _ES_CAN,
    _ES_CLITIC,
    _ES_HAVE,
    _PARTICIPLE,
    _activities,
    _doing,
    _hindi_request,
    _plan,
)
from .grammar import (
    _BE,
    _I,
    POSSESSORS,
    Subject,
    _hindi_be,
    _in,
    _join,
    _noun_phrase,
    _somebody,
    _subject,
    _two_people,
)
from .inflection import Parallel
from .numbers import number_words
from .registry import _pattern
from .words_people import BODY, BODY_PAIRS, ILLNESSES, LEFT_RIGHT, MOODS, SENSATIONS
from .words_places import DESTINATIONS, RELATIONS
from .words_things import (
    ADJECTIVES,
    CLOTHES,
    COLOURS,
    CONTAINERS,
    DISHES,
    DRINKS,
    FOODS,
    NOUNS,
    ROOMS,
    SURFACES,
    THINGS,
)
from .words_times import FUTURE_TIMES, HABIT_TIMES, MEALS


@_pattern("food", 3)
def _please_bring(rng: random.Random) -> Parallel:
    """Please bring us two cups of tea with sugar."""
    me = rng.random() < 0.5
    drink = rng.random() < 0.5
    amount = _amount(rng, ("cup", "glass") if drink else ("plate", "bowl"))
    extra = NOUNS[rng.choice(("sugar", "honey") if drink else ("salt", "butter", "oil"))]
    en, es, hi = rng.choice((("with", "con", f"{extra.hi} के साथ"), ("without", "sin", f"बिना {extra.hi} के")))
    return (
        f"please bring {'me' if me else 'us'} {amount[0]} {en} {extra.en}",
        f"por favor {'tráigame' if me else 'tráiganos'} {amount[1]} {es} {extra.es}",
        f"कृपया {'मेरे' if me else 'हमारे'} लिए {amount[2]} {hi} लाइए",
    )


def _likers(rng: random.Random) -> tuple[Subject, str]:
    """Somebody to whom something is pleasing, and "a maría le" in Spanish."""
    drawn = rng.random()
    who = _I if drawn < 0.15 else _subject(rng)
    return who, _join("a" if who.es else "", who.es, _ES_CLITIC[who.person])


@_pattern("food")
def _likes(rng: random.Random) -> Parallel:
    """My father likes fish with rice a lot."""
    who, spanish = _likers(rng)
    first, second = rng.sample([dish for dish in DISHES if dish.en not in ("cake", "ice cream", "chocolate")], 2)
    negative = rng.random() < 0.3
    like = "like" if who.person else "likes"
    first_es = _noun_phrase(first).es
    if negative:
        do = "do" if who.person else "does"
        return (
            f"{who.en} {do} not like {first.en} with {second.en}",
            spanish[: -len(spanish.split()[-1])] + f"no {spanish.split()[-1]} gusta {first_es} con {second.es}",
            f"{who.dative} {second.hi_oblique} के साथ {first.hi} पसंद नहीं है",
        )
    return (
        f"{who.en} {like} {first.en} with {second.en}",
        f"{spanish} gusta {first_es} con {second.es}",
        f"{who.dative} {second.hi_oblique} के साथ {first.hi} पसंद है",
    )


@_pattern("food", 1)
def _likes_fruit(rng: random.Random) -> Parallel:
    """My father likes apples and bananas."""
    who, spanish = _likers(rng)
    first, second = (_noun_phrase(noun, plural=True) for noun in rng.sample(FOODS, 2))
    return (
        f"{who.en} {'like' if who.person else 'likes'} {first.noun.en_plural} and {second.noun.en_plural}",
        f"{spanish} gustan {first.es} y {second.es}",
        f"{who.dative} {first.hi} और {second.hi} पसंद हैं",
    )


@_pattern("food", 1)
def _prefers(rng: random.Random) -> Parallel:
    """Maria prefers tea to coffee."""
    who = _somebody(rng)
    first, second = rng.sample(rng.choice((DRINKS, DISHES)), 2)
    return (
        f"{who.en} prefers {first.en} to {second.en}",
        f"{who.es} prefiere {_noun_phrase(first).es} a {_noun_phrase(second).es}",
        f"{who.dative} {second.hi_oblique} से ज़्यादा {first.hi} पसंद है",
    )


@_pattern("food", 1)
def _table_for(rng: random.Random) -> Parallel:
    """Please give us a table for four people near the window."""
    people = rng.randint(2, 12)
    place = _noun_phrase(rng.choice([NOUNS["window"], NOUNS["door"], NOUNS["garden"], NOUNS["kitchen"]]))
    en, es, hi = rng.choice(RELATIONS[:5])
    return (
        f"please give us a table for {number_words(people, 'en')} people {en} {place.en}",
        f"por favor denos una mesa para {number_words(people, 'es')} personas {es} {place.es}",
        f"कृपया हमें {place.oblique} {hi} {number_words(people, 'hi')} लोगों के लिए एक मेज़ दीजिए",
    )


@_pattern("food")
def _for_meal(rng: random.Random) -> Parallel:
    """For breakfast we want fresh bread and two cups of coffee."""
    meal, amount = _meal(rng.choice(MEALS)), _amount(rng)
    dish = NOUNS[rng.choice(("bread", "cheese", "fish", "chicken", "meat"))]
    good = ADJECTIVES["fresh"]
    es_good = good.es[dish.es_gender == "f"]
    hi_good = good.hi[2 if dish.hi_gender == "f" else 0]
    return (
        f"for {meal[0]} we want {good.en} {dish.en} and {amount[0]}",
        f"para {meal[1]} queremos {dish.es} {es_good} y {amount[1]}",
        f"{meal[3]} के लिए हमें {hi_good} {dish.hi} और {amount[2]} चाहिए",
    )


@_pattern("home", 3)
def _lies(rng: random.Random) -> Parallel:
    """The red book is under the chair in the kitchen."""
    adjectives = [rng.choice(list(COLOURS.values()))] if rng.random() < 0.7 else []
    first = _noun_phrase(rng.choice(THINGS), rng.choice(("the", *POSSESSORS)), adjectives, rng.random() < 0.3)
    relations = [("on", "sobre", "पर"), ("under", "debajo de", "के नीचे"), *RELATIONS[:3]]
    if rng.random() < 0.3:
        second, (en, es, hi) = _noun_phrase(rng.choice(CONTAINERS)), ("in", "en", "में")
    else:
        second, (en, es, hi) = _noun_phrase(rng.choice(SURFACES)), rng.choice(relations)
    room = _noun_phrase(rng.choice(ROOMS))
    be, es_be = ("are", "están") if first.plural else ("is", "está")
    return (
        f"{first.en} {be} {en} {second.en} {_in(room)}",
        f"{first.es} {es_be} {es} {second.es} en {room.es}",
        f"{first.hi} {room.oblique} में {second.oblique} {hi} {_hindi_be(first.plural)}",
    )


@_pattern("home", 1)
def _where_is_my(rng: random.Random) -> Parallel:
    """Where are my new shoes."""
    noun, adjective = (
        rng.choice(CLOTHES + THINGS),
        rng.choice([*COLOURS.values(), ADJECTIVES["new"], ADJECTIVES["old"]]),
    )
    phrase = _noun_phrase(noun, rng.choice(list(POSSESSORS)), [adjective], rng.random() < 0.5)
    be, es_be = ("are", "están") if phrase.plural else ("is", "está")
    return f"where {be} {phrase.en}", f"dónde {es_be} {phrase.es}", f"{phrase.hi} कहाँ {_hindi_be(phrase.plural)}"


@_pattern("home")
def _there_are(rng: random.Random) -> Parallel:
    """There are three chairs and two tables in the living room."""
    first, second = (
        _noun_phrase(noun, count=rng.randint(2, 30)) for noun in rng.sample(THINGS + SURFACES + CONTAINERS, 2)
    )
    room = _noun_phrase(rng.choice(ROOMS))
    return (
        f"there are {first.en} and {second.en} {_in(room)}",
        f"hay {first.es} y {second.es} en {room.es}",
        f"{room.oblique} में {first.hi} और {second.hi} हैं",
    )


@_pattern("home")
def _please_do(rng: random.Random) -> Parallel:
    """Please open the window after dinner."""
    what = rng.choice(_activities())
    when = rng.choice((("", "", ""), *FUTURE_TIMES[:4], *FUTURE_TIMES[8:]))
    return (
        _join("please", what.en[0], what.tail[0], when[0]),
        _join("por favor", what.es[5], what.tail[1], when[1]),
        _join("कृपया", when[2], what.hi, _hindi_request(what.stem)),
    )


@_pattern("home")
def _has_to(rng: random.Random) -> Parallel:
    """My brother has to clean the kitchen on monday."""
    who, what, when = _subject(rng), rng.choice(_activities()), rng.choice(FUTURE_TIMES)
    ending, be = (("ना", "है"), ("नी", "है"), ("ने", "हैं"), ("नी", "हैं"))[what.agreement]
    return (
        _join(who.en, _EN_HAVE[who.person], "to", what.en[0], what.tail[0], when[0]),
        _join(who.es, _ES_HAVE[who.person], "que", what.es[0], what.tail[1], when[1]),
        _join(who.dative, when[2], what.hi, what.stem + ending, be),
    )


@_pattern("home")
def _can(rng: random.Random) -> Parallel:
    """My brother cannot repair the car today."""
    who, what, negative = _subject(rng), rng.choice(_activities()), rng.random() < 0.4
    return (
        _join(who.en, "cannot" if negative else "can", what.en[0], what.tail[0], "today"),
        _join(who.es, "no" if negative else "", _ES_CAN[who.person], what.es[0], what.tail[1], "hoy"),
        _join(
            who.hi, "आज", what.hi, "नहीं" if negative else "", what.stem, "सक" + _PARTICIPLE[who.form], _BE[who.form]
        ),
    )


def _mood(rng: random.Random, who: Subject) -> Parallel:
    """Maria is very tired."""
    mood = rng.choice(list(MOODS.values()))
    plural = who.person in (1, 2)
    return (
        f"{who.en} {_EN_BE[who.person]} {mood.en}",
        _join(who.es, _ES_BE[who.person], mood.es[2 * plural + who.feminine]),
        _join(who.hi, mood.hi[(0, 2, 1, 2)[who.form]], _BE[who.form]),
    )


@_pattern("health", 3)
def _because(rng: random.Random) -> Parallel:
    """Maria is happy because we will go to paris tomorrow."""
    first, second = _two_people(rng, _subject)
    mood = _mood(rng, first)
    reason = (
        _plan(rng, second, rng.choice(FUTURE_TIMES))
        if rng.random() < 0.6
        else _doing(second, rng.choice(_activities()))
    )
    return f"{mood[0]} because {reason[0]}", f"{mood[1]} porque {reason[1]}", f"{mood[2]} क्योंकि {reason[2]}"


@_pattern("health")
def _moods(rng: random.Random) -> Parallel:
    """Maria is tired but ravi is happy."""
    first, second = _two_people(rng, _subject)
    one, other = _mood(rng, first), _mood(rng, second)
    return f"{one[0]} but {other[0]}", f"{one[1]} pero {other[1]}", f"{one[2]} लेकिन {other[2]}"


@_pattern("health")
def _feels(rng: random.Random) -> Parallel:
    """I am hungry and my sister is thirsty."""
    first = _I if rng.random() < 0.3 else _subject(rng)
    second = _subject(rng)
    if first == second:
        return _feels(rng)
    (one, other) = rng.sample(SENSATIONS, 2)
    return (
        f"{first.en} {_EN_BE[first.person]} {one[0]} and {second.en} {_EN_BE[second.person]} {other[0]}",
        _join(first.es, _ES_HAVE[first.person], one[1], "y", second.es, _ES_HAVE[second.person], other[1]),
        f"{first.dative} {one[2]} और {second.dative} {other[2]}",
    )


@_pattern("health")
def _is_ill(rng: random.Random) -> Parallel:
    """My brother has a fever and cannot go to the school."""
    who, illness, place = _somebody(rng), rng.choice(ILLNESSES), _noun_phrase(rng.choice(DESTINATIONS))
    return (
        f"{who.en} has {illness[0]} and cannot go to {place.en}",
        f"{who.es} tiene {illness[1]} y no puede ir a {place.es}",
        f"{who.dative} {illness[2]} है और {'वे' if who.form > 1 else 'वह'} {place.oblique} नहीं जा सक{_PARTICIPLE[who.form]} {_BE[who.form]}",
    )


@_pattern("health")
def _pain(rng: random.Random) -> Parallel:
    """My father has pain in the left knee today."""
    who = _I if rng.random() < 0.3 else _somebody(rng)
    sided = rng.random() < 0.7
    adjectives = [rng.choice(list(LEFT_RIGHT.values()))] if sided else []
    part = _noun_phrase(rng.choice(BODY_PAIRS if sided else BODY), "the", adjectives)
    when = rng.choice((("today", "hoy", "आज"), *HABIT_TIMES[:6]))
    of = "की" if part.noun.hi_gender == "f" else "के"
    hindi = ("मेरी" if of == "की" else "मेरे") if who is _I else f"{who.oblique} {of}"
    return (
        f"{who.en} {_EN_HAVE[who.person]} pain in {part.en} {when[0]}",
        _join("a" if who.es else "", who.es, _ES_CLITIC[who.person], "duele", part.es, when[1]),
        f"{when[2]} {hindi} {part.oblique} में दर्द {'है' if when[0] == 'today' else 'होता है'}",
    )


@_pattern("health", 1)
def _medicine(rng: random.Random) -> Parallel:
    """Please take this medicine for ten days before breakfast."""
    days, meal = rng.randint(2, 30), _meal(rng.choice(MEALS))
    en, es, hi = rng.choice((("before", "antes de", "से पहले"), ("after", "después de", "के बाद")))
    return (
        f"please take this medicine {en} {meal[0]} for {number_words(days, 'en')} days",
        f"por favor tome esta medicina {es} {meal[1]} durante {number_words(days, 'es', 'm')} días",
        f"कृपया {number_words(days, 'hi')} दिन तक {meal[3]} {hi} यह दवा लीजिए",
    )
