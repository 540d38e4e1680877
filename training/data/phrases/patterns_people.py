"""Patterns of the topics family, greetings and work."""

import random

from .amounts import _at, _clock, _date
from .clauses import _ES_WANT, _PARTICIPLE, _activities, _doing, _will_do
from .grammar import _BE, _join, _named, _noun_phrase, _quality, _relative, _somebody, _subject, _two_people
from .inflection import Parallel, _nouns
from .numbers import LARGEST, number_words
from .registry import _pattern
from .words_people import GREETINGS, JOBS
from .words_places import CITIES, COUNTRIES, RELATIONS, SUBJECTS_TAUGHT, TONGUES
from .words_things import COUNTED, PLACES, ROOMS, VEHICLES
from .words_times import DAY_PARTS, DAYS, FREQUENCIES, FUTURE_TIMES, HABIT_TIMES, _days


@_pattern("family")
def _age(rng: random.Random) -> Parallel:
    """My brother is twenty three years old."""
    who, years = _somebody(rng), rng.randint(18, LARGEST)
    of = ("का", "की", "के", "की")[who.form]
    return (
        f"{who.en} is {number_words(years, 'en')} years old",
        f"{who.es} tiene {number_words(years, 'es', 'm')} años",
        f"{who.hi} {number_words(years, 'hi')} साल {of} {_BE[who.form]}",
    )


@_pattern("family", 1)
def _siblings(rng: random.Random) -> Parallel:
    """Maria has two brothers and three sisters."""
    who = _somebody(rng)
    relatives = _nouns("""
        brother | hermano m | भाई m
        sister | hermana f | बहन f
        son | hijo m | बेटा m
        daughter | hija f | बेटी f
        friend | amigo m | दोस्त m
    """)
    first, second = (_noun_phrase(noun, count=rng.randint(2, 6)) for noun in rng.sample(relatives, 2))
    return (
        f"{who.en} has {first.en} and {second.en}",
        f"{who.es} tiene {first.es} y {second.es}",
        f"{who.oblique} {'की' if first.noun.hi_gender == 'f' else 'के'} {first.hi} और {second.hi} हैं",
    )


@_pattern("family")
def _job(rng: random.Random) -> Parallel:
    """My uncle is a doctor in london."""
    who, (english, spanish, hindi), city = _somebody(rng), rng.choice(JOBS), rng.choice(CITIES)
    en, es, hi = (words.split() for words in (english, spanish, hindi))
    job = hi[-1 if who.feminine else 0].replace("_", " ")
    return (
        f"{who.en} is a {en[-1 if who.feminine else 0]} in {city[0]}",
        f"{who.es} es {es[who.feminine]} en {city[1]}",
        f"{who.hi} {city[2]} में {job} {_BE[who.form]}",
    )


@_pattern("family")
def _lives_with(rng: random.Random) -> Parallel:
    """Maria lives in madrid with our grandmother."""
    first, second = _two_people(rng, _somebody)
    city = rng.choice(CITIES)
    return (
        f"{first.en} lives in {city[0]} with {second.en}",
        f"{first.es} vive en {city[1]} con {second.es}",
        f"{first.hi} {second.oblique} के साथ {city[2]} में {('रहता', 'रहती', 'रहते', 'रहती')[first.form]} {_BE[first.form]}",
    )


@_pattern("family", 3)
def _doing_now(rng: random.Random) -> Parallel:
    """My sister is not reading the newspaper."""
    return _doing(_subject(rng), rng.choice(_activities()), rng.random() < 0.3)


@_pattern("family", 3)
def _habit(rng: random.Random) -> Parallel:
    """My sister reads the newspaper every day."""
    who, what, when = _subject(rng), rng.choice(_activities()), rng.choice(HABIT_TIMES)
    return (
        _join(who.en, what.en[who.person == 0], what.tail[0], when[0]),
        _join(who.es, what.es[who.person + 1], what.tail[1], when[1]),
        _join(who.hi, when[2], what.hi, what.stem + _PARTICIPLE[who.form], _BE[who.form]),
    )


@_pattern("family")
def _frequency(rng: random.Random) -> Parallel:
    """My sister often reads the newspaper."""
    who, what, often = _subject(rng), rng.choice(_activities()), rng.choice(FREQUENCIES)
    return (
        _join(who.en, often[0], what.en[who.person == 0], what.tail[0]),
        _join(who.es, often[1], what.es[who.person + 1], what.tail[1]),
        _join(who.hi, often[2], what.hi, what.stem + _PARTICIPLE[who.form], _BE[who.form]),
    )


@_pattern("family", 3)
def _future(rng: random.Random) -> Parallel:
    """My sister will not read the newspaper tomorrow."""
    return _will_do(_subject(rng), rng.choice(_activities()), rng.choice(FUTURE_TIMES), rng.random() < 0.25)


@_pattern("greetings", 1)
def _introduction(rng: random.Random) -> Parallel:
    """Good morning my name is maria and i am from spain."""
    greeting, who, country = rng.choice(GREETINGS), _named(rng), rng.choice(COUNTRIES + CITIES)
    return (
        f"{greeting[0]} my name is {who.en} and i am from {country[0]}",
        f"{greeting[1]} me llamo {who.es} y soy de {country[1]}",
        f"{greeting[2]} मेरा नाम {who.hi} है और मैं {country[2]} से हूँ",
    )


@_pattern("greetings")
def _how_is(rng: random.Random) -> Parallel:
    """Hello maria how is your mother."""
    greeting, name = rng.choice(GREETINGS), _named(rng)
    who = _relative(rng) if rng.random() < 0.7 else _named(rng)
    if who == name:
        return _how_is(rng)
    how = ("कैसा", "कैसी", "कैसे", "कैसी")[who.form]
    return (
        f"{greeting[0]} {name.en} how is {who.en}",
        f"{greeting[1]} {name.es} cómo está {who.es}",
        f"{greeting[2]} {name.hi} {who.hi} {how} {_BE[who.form]}",
    )


@_pattern("greetings", 1)
def _thanks(rng: random.Random) -> Parallel:
    """Thank you very much for the beautiful gift."""
    noun, adjective = _quality(rng)
    while noun in (*PLACES, *VEHICLES, *ROOMS) or adjective.en not in "new beautiful comfortable interesting good":
        noun, adjective = _quality(rng)
    phrase = _noun_phrase(noun, "the", [adjective], noun in COUNTED and rng.random() < 0.3)
    return (
        f"thank you very much for {phrase.en}",
        f"muchas gracias por {phrase.es}",
        f"{phrase.oblique} के लिए बहुत धन्यवाद",
    )


@_pattern("greetings", 1)
def _see_you(rng: random.Random) -> Parallel:
    """See you on monday at seven in the evening near the bank."""
    day, time, place, (en, es, hi) = (
        rng.choice(DAYS),
        _at(rng),
        _noun_phrase(rng.choice(PLACES)),
        rng.choice(RELATIONS[:4]),
    )
    return (
        f"see you on {day[0]} at {time[0]} {en} {place.en}",
        f"nos vemos el {day[1]} a {time[1]} {es} {place.es}",
        f"{day[2]} को {time[2]} {place.oblique} {hi} मिलते हैं",
    )


@_pattern("greetings", 1)
def _speaks(rng: random.Random) -> Parallel:
    """Maria speaks a little hindi but does not speak english."""
    who, (first, second) = _somebody(rng), rng.sample(TONGUES, 2)
    return (
        f"{who.en} speaks a little {first[0]} but does not speak {second[0]}",
        f"{who.es} habla un poco de {first[1]} pero no habla {second[1]}",
        f"{who.dative} थोड़ी {first[2]} आती है लेकिन {second[2]} नहीं आती",
    )


@_pattern("greetings", 1)
def _do_you_speak(rng: random.Random) -> Parallel:
    """Good morning do you speak english and french."""
    greeting, (first, second) = rng.choice(GREETINGS), rng.sample(TONGUES, 2)
    return (
        f"{greeting[0]} do you speak {first[0]} and {second[0]}",
        f"{greeting[1]} habla usted {first[1]} y {second[1]}",
        f"{greeting[2]} क्या आप {first[2]} और {second[2]} बोलते हैं",
    )


@_pattern("work")
def _class_hours(rng: random.Random) -> Parallel:
    """The english class starts at nine and ends at half past ten in the morning."""
    subject = rng.choice(SUBJECTS_TAUGHT + TONGUES)
    (en, es, hi), first, last = rng.choice(DAY_PARTS[:3])
    start = rng.randint(first, last - 1)
    begin, end = _clock(rng, start), _clock(rng, rng.randint(start + 1, last), quarters=False)
    return (
        f"the {subject[0]} class starts at {begin[0]} and ends at {end[0]} {en}",
        f"la clase de {subject[1]} empieza a {begin[1]} y termina a {end[1]} {es}",
        f"{subject[2]} की कक्षा {hi} {begin[2]} बजे शुरू होती है और {end[2]} बजे ख़त्म होती है",
    )


@_pattern("work", 1)
def _exam(rng: random.Random) -> Parallel:
    """The mathematics exam is on monday the third of march."""
    subject, day, date = rng.choice(SUBJECTS_TAUGHT + TONGUES), rng.choice(DAYS), _date(rng)
    return (
        f"the {subject[0]} exam is on {day[0]} {date[0]}",
        f"el examen de {subject[1]} es el {day[1]} {date[1]}",
        f"{subject[2]} की परीक्षा {day[2]} {date[2]} को है",
    )


@_pattern("work", 1)
def _students(rng: random.Random) -> Parallel:
    """There are twenty one students in the history class."""
    subject, count = rng.choice(SUBJECTS_TAUGHT + TONGUES), rng.randint(2, LARGEST)
    return (
        f"there are {number_words(count, 'en')} students in the {subject[0]} class",
        f"hay {number_words(count, 'es', 'm')} estudiantes en la clase de {subject[1]}",
        f"{subject[2]} की कक्षा में {number_words(count, 'hi')} विद्यार्थी हैं",
    )


@_pattern("work", 1)
def _page(rng: random.Random) -> Parallel:
    """Please read page forty seven of the history book."""
    subject, page = rng.choice(SUBJECTS_TAUGHT + TONGUES), rng.randint(2, LARGEST)
    return (
        f"please read page {number_words(page, 'en')} of the {subject[0]} book",
        f"por favor lea la página {number_words(page, 'es')} del libro de {subject[1]}",
        f"कृपया {subject[2]} की किताब का पृष्ठ {number_words(page, 'hi')} पढ़िए",
    )


@_pattern("work")
def _opens(rng: random.Random) -> Parallel:
    """Every monday the museum opens at nine in the morning."""
    place = _noun_phrase(rng.choice([noun for noun in PLACES if noun.en not in ("village", "bridge")]))
    morning, day = _clock(rng, rng.randint(6, 11)), rng.choice(DAYS)
    return (
        f"every {day[0]} {place.en} opens at {morning[0]} in the morning",
        f"todos los {_days(day[1])} {place.es} abre a {morning[1]} de la mañana",
        f"हर {day[2]} को {place.hi} सुबह {morning[2]} बजे {'खुलती' if place.noun.hi_gender == 'f' else 'खुलता'} है",
    )


@_pattern("work")
def _studies(rng: random.Random) -> Parallel:
    """Maria wants to study history in paris."""
    who, subject, city = _subject(rng), rng.choice(SUBJECTS_TAUGHT + TONGUES), rng.choice(CITIES)
    return (
        _join(who.en, "want" if who.person else "wants", f"to study {subject[0]} in {city[0]}"),
        _join(who.es, _ES_WANT[who.person], f"estudiar {subject[1]} en {city[1]}"),
        _join(who.hi, f"{city[2]} में {subject[2]} की पढ़ाई करना चाह{_PARTICIPLE[who.form]} {_BE[who.form]}"),
    )


@_pattern("work")
def _wants(rng: random.Random) -> Parallel:
    """Maria wants to write a letter tomorrow."""
    who, what, when = _subject(rng), rng.choice(_activities()), rng.choice(FUTURE_TIMES)
    return (
        _join(who.en, "want" if who.person else "wants", "to", what.en[0], what.tail[0], when[0]),
        _join(who.es, _ES_WANT[who.person], what.es[0], what.tail[1], when[1]),
        _join(who.hi, when[2], what.hi, f"{what.stem}ना चाह{_PARTICIPLE[who.form]}", _BE[who.form]),
    )
