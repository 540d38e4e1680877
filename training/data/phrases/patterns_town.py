"""Patterns of the topics shopping, directions and travel."""

import random

from .amounts import _amount, _at
from .clauses import _PARTICIPLE, _going, _hindi_future, _spanish_future
from .grammar import (
    _BE,
    _I,
    _WE,
    POSSESSORS,
    NounPhrase,
    _hindi_be,
    _is,
    _join,
    _noun_phrase,
    _own,
    _quality,
    _subject,
    _two_people,
)
from .inflection import Parallel
from .numbers import LARGEST, number_words
from .registry import _pattern
from .words_places import BY, CITIES, COUNTRIES, DESTINATIONS, RELATIONS, SIDES
from .words_things import (
    ADJECTIVES,
    CLOTHES,
    COLOURS,
    CONTAINERS,
    COUNTED,
    DISHES,
    DRINKS,
    FOODS,
    LESSONS,
    PLACES,
    QUALITIES,
    ROOMS,
    SURFACES,
    THINGS,
)
from .words_times import DAYS, FUTURE_TIMES, HABIT_TIMES, MONTHS


@_pattern("shopping")
def _price_question(rng: random.Random) -> Parallel:
    """How much does this red shirt cost."""
    noun, colour = rng.choice(CLOTHES + THINGS), rng.choice(list(COLOURS.values()))
    phrase = _noun_phrase(noun, rng.choice(("the", "this", "that")), [colour], rng.random() < 0.3)
    do, cost = ("do", "cuestan") if phrase.plural else ("does", "cuesta")
    return f"how much {do} {phrase.en} cost", f"cuánto {cost} {phrase.es}", f"{phrase.oblique} की क़ीमत क्या है"


@_pattern("shopping", 3)
def _price(rng: random.Random) -> Parallel:
    """This red shirt costs thirty one euros."""
    noun, colour = rng.choice(CLOTHES + THINGS + SURFACES), rng.choice(list(COLOURS.values()))
    phrase = _noun_phrase(noun, rng.choice(("the", "this", "that")), [colour])
    price = rng.randint(2, LARGEST)
    en, es, gender, hi = rng.choice((("euros", "euros", "m", "यूरो"), ("rupees", "rupias", "f", "रुपये")))
    return (
        f"{phrase.en} costs {number_words(price, 'en')} {en}",
        f"{phrase.es} cuesta {number_words(price, 'es', gender)} {es}",
        f"{phrase.oblique} की क़ीमत {number_words(price, 'hi')} {hi} है",
    )


@_pattern("shopping", 1)
def _in_another_colour(rng: random.Random) -> Parallel:
    """Do you have this shirt in blue."""
    phrase = _noun_phrase(rng.choice(CLOTHES + THINGS), "this", plural=rng.random() < 0.3)
    colour = rng.choice(list(COLOURS.values()))
    return (
        f"do you have {phrase.en} in {colour.en}",
        f"tiene usted {phrase.es} en {colour.es[0]}",
        f"क्या आपके पास {phrase.hi} {colour.hi[1]} रंग में {_hindi_be(phrase.plural)}",
    )


@_pattern("shopping")
def _i_need(rng: random.Random) -> Parallel:
    """I need two kilos of rice and three apples."""
    first, second = _amount(rng), _amount(rng)
    if first[0].split()[1:] == second[0].split()[1:]:
        return f"i need {first[0]}", f"necesito {first[1]}", f"मुझे {first[2]} चाहिए"
    return (
        f"i need {first[0]} and {second[0]}",
        f"necesito {first[1]} y {second[1]}",
        f"मुझे {first[2]} और {second[2]} चाहिए",
    )


_WANTED = ("small", "big", "new", "cheap", "beautiful")


@_pattern("shopping")
def _needs_thing(rng: random.Random) -> Parallel:
    """My brother needs a cheap black umbrella."""
    who = _I if rng.random() < 0.2 else _subject(rng)
    adjective = rng.choice((*COLOURS.values(), *(ADJECTIVES[name] for name in _WANTED)))
    phrase = _noun_phrase(rng.choice(CLOTHES + THINGS + SURFACES + CONTAINERS), "a", [adjective])
    return (
        _join(who.en, "need" if who.person else "needs", phrase.en),
        _join(who.es, ("necesita", "necesitan", "necesitamos", "necesito")[who.person], phrase.es),
        f"{who.dative} {phrase.hi} चाहिए",
    )


@_pattern("shopping")
def _how_it_is(rng: random.Random) -> Parallel:
    """This shirt is very expensive."""
    noun, adjective = _quality(rng)
    determiner = rng.choice(("the", "this", "that"))
    phrase = _noun_phrase(noun, determiner, plural=noun in COUNTED and rng.random() < 0.4)
    be, es_be, es, hi = _is(phrase, adjective)
    return (
        f"{phrase.en} {be} very {adjective.en}",
        f"{phrase.es} {es_be} muy {es}",
        f"{phrase.hi} बहुत {hi} {_hindi_be(phrase.plural)}",
    )


@_pattern("shopping", 3)
def _comparison(rng: random.Random) -> Parallel:
    """My bag is cheaper than your umbrella."""
    nouns, names = rng.choice([row for row in QUALITIES if row[0] not in (DISHES, DRINKS, FOODS, ROOMS)])
    adjective = ADJECTIVES[rng.choice(names.split())]
    determiners = ("this", "that") if nouns in (PLACES, LESSONS) else (*POSSESSORS, "this", "that")
    first, second = (_noun_phrase(rng.choice(nouns), rng.choice(determiners)) for _ in range(2))
    if first == second:
        return _comparison(rng)
    _, es_be, es, hi = _is(first, adjective)
    return (
        f"{first.en} is {adjective.comparative} than {second.en}",
        f"{first.es} {es_be} más {es} que {second.es}",
        f"{first.hi} {second.oblique} से ज़्यादा {hi} है",
    )


def _two_places(rng: random.Random) -> tuple[NounPhrase, NounPhrase]:
    first, second = rng.sample(PLACES, 2)
    return _noun_phrase(first), _noun_phrase(second)


@_pattern("directions")
def _where_it_is(rng: random.Random) -> Parallel:
    """The bank is next to the big hospital."""
    first, second = _two_places(rng)
    if rng.random() < 0.5:
        second = _noun_phrase(second.noun, "the", [ADJECTIVES[rng.choice(QUALITIES[5][1].split())]])
    en, es, hi = rng.choice(RELATIONS)
    return (
        f"{first.en} is {en} {second.en}",
        f"{first.es} está {es} {second.es}",
        f"{first.hi} {second.oblique} {hi} है",
    )


@_pattern("directions")
def _between(rng: random.Random) -> Parallel:
    """The bank is between the hospital and the school."""
    first, second, third = (_noun_phrase(noun) for noun in rng.sample(PLACES, 3))
    return (
        f"{first.en} is between {second.en} and {third.en}",
        f"{first.es} está entre {second.es} y {third.es}",
        f"{first.hi} {second.oblique} और {third.oblique} के बीच में है",
    )


@_pattern("directions", 1)
def _is_there(rng: random.Random) -> Parallel:
    """Is there a bank near the hotel."""
    first, second = _two_places(rng)
    first = _noun_phrase(first.noun, "a")
    en, es, hi = rng.choice(RELATIONS[:4])
    hindi = first.hi.replace("एक", "कोई")
    return (
        f"is there {first.en} {en} {second.en}",
        f"hay {first.es} {es} {second.es}",
        f"क्या {second.oblique} {hi} {hindi} है",
    )


@_pattern("directions", 1)
def _nearest(rng: random.Random) -> Parallel:
    """Excuse me where is the nearest bank."""
    place = _noun_phrase(rng.choice(PLACES))
    near = "cercana" if place.noun.es_gender == "f" else "cercano"
    return (
        f"excuse me where is the nearest {place.noun.en}",
        f"disculpe dónde está {place.es} más {near}",
        f"माफ़ कीजिए सबसे नज़दीकी {place.hi} कहाँ है",
    )


@_pattern("directions")
def _turn(rng: random.Random) -> Parallel:
    """Go straight for fifty metres and turn left at the bank."""
    metres, side, place = rng.randint(2, LARGEST), rng.choice(SIDES), _noun_phrase(rng.choice(PLACES))
    return (
        f"go straight for {number_words(metres, 'en')} metres and turn {side[0]} at {place.en}",
        f"siga recto {number_words(metres, 'es', 'm')} metros y gire a la {side[1]} en {place.es}",
        f"{number_words(metres, 'hi')} मीटर सीधे जाइए और {place.oblique} पर {side[2]} मुड़िए",
    )


@_pattern("directions")
def _street(rng: random.Random) -> Parallel:
    """To get to the museum take the third street on the left."""
    place, side = _noun_phrase(rng.choice(PLACES)), rng.choice(SIDES)
    ordinal, en, es, hi = rng.choice(
        (
            ("first", "street", "primera calle", "पहली गली"),
            ("second", "street", "segunda calle", "दूसरी गली"),
            ("third", "street", "tercera calle", "तीसरी गली"),
            ("fourth", "street", "cuarta calle", "चौथी गली"),
            ("fifth", "street", "quinta calle", "पाँचवीं गली"),
        )
    )
    return (
        f"to get to {place.en} take the {ordinal} {en} on the {side[0]}",
        f"para llegar a {place.es} tome la {es} a la {side[1]}",
        f"{place.oblique} तक पहुँचने के लिए {side[2]} की {hi} में जाइए",
    )


@_pattern("directions")
def _how_far(rng: random.Random) -> Parallel:
    """The museum is ten minutes from the station by bus."""
    first, second = _two_places(rng)
    minutes, by = rng.randint(2, LARGEST), rng.choice(BY)
    return (
        f"{first.en} is {number_words(minutes, 'en')} minutes from {second.en} {by[0]}",
        f"{first.es} está a {number_words(minutes, 'es', 'm')} minutos de {second.es} {by[1]}",
        f"{first.hi} {second.oblique} से {by[2]} {number_words(minutes, 'hi')} मिनट की दूरी पर है",
    )


@_pattern("travel")
def _departure(rng: random.Random) -> Parallel:
    """The train to delhi leaves at half past nine in the morning from platform seven."""
    city, time, platform = rng.choice(CITIES), _at(rng), rng.randint(1, 30)
    return (
        f"the train to {city[0]} leaves at {time[0]} from platform {number_words(platform, 'en')}",
        f"el tren a {city[1]} sale a {time[1]} del andén {number_words(platform, 'es')}",
        f"{city[2]} जाने वाली ट्रेन {time[2]} प्लेटफ़ॉर्म {number_words(platform, 'hi')} से चलती है",
    )


@_pattern("travel", 1)
def _journey(rng: random.Random) -> Parallel:
    """How long does the journey from madrid to paris take by train."""
    (first, second), by = rng.sample(CITIES, 2), rng.choice(BY[:4])
    return (
        f"how long does the journey from {first[0]} to {second[0]} take {by[0]}",
        f"cuánto dura el viaje de {first[1]} a {second[1]} {by[1]}",
        f"{first[2]} से {second[2]} तक की यात्रा में {by[2]} कितना समय लगता है",
    )


@_pattern("travel", 1)
def _tickets(rng: random.Random) -> Parallel:
    """Please give me two tickets to madrid for monday."""
    count, city, day = rng.randint(2, 12), rng.choice(CITIES), rng.choice(DAYS)
    return (
        f"please give me {number_words(count, 'en')} tickets to {city[0]} for {day[0]}",
        f"por favor deme {number_words(count, 'es', 'm')} billetes a {city[1]} para el {day[1]}",
        f"कृपया मुझे {day[2]} के लिए {city[2]} के {number_words(count, 'hi')} टिकट दीजिए",
    )


@_pattern("travel", 1)
def _hotel_room(rng: random.Random) -> Parallel:
    """I need a room for two people and three nights near the station."""
    people, nights, place = rng.randint(2, 9), rng.randint(2, 14), _noun_phrase(rng.choice(PLACES))
    return (
        f"i need a room near {place.en} for {number_words(people, 'en')} people and {number_words(nights, 'en')} nights",
        f"necesito una habitación cerca de {place.es} para {number_words(people, 'es')} personas y {number_words(nights, 'es')} noches",
        f"मुझे {place.oblique} के पास {number_words(people, 'hi')} लोगों और {number_words(nights, 'hi')} रातों के लिए एक कमरा चाहिए",
    )


@_pattern("travel", 1)
def _late(rng: random.Random) -> Parallel:
    """The flight from london to lima is twenty minutes late."""
    (first, second), minutes = rng.sample(CITIES, 2), rng.randint(2, LARGEST)
    return (
        f"the flight from {first[0]} to {second[0]} is {number_words(minutes, 'en')} minutes late",
        f"el vuelo de {first[1]} a {second[1]} tiene {number_words(minutes, 'es', 'm')} minutos de retraso",
        f"{first[2]} से {second[2]} की उड़ान {number_words(minutes, 'hi')} मिनट देर से है",
    )


@_pattern("travel", 3)
def _trip(rng: random.Random) -> Parallel:
    """In august we will travel to spain by train with my sister."""
    first, second = _two_people(rng, _subject)
    if second == _WE:
        first, second = second, first
    (en, es, hi), place, by = rng.choice(MONTHS), rng.choice(COUNTRIES + CITIES), rng.choice(BY[:4])
    return (
        f"in {en} {first.en} will travel to {place[0]} {by[0]} with {second.en}",
        _join(f"en {es}", first.es, _spanish_future("viajar", first.person), f"a {place[1]} {by[1]} con {second.es}"),
        f"{hi} में {first.hi} {_own(first, second.oblique)} के साथ {by[2]} {place[2]} की यात्रा {_hindi_future('कर', first.form)}",
    )


@_pattern("travel")
def _goes(rng: random.Random) -> Parallel:
    """My sister will return to the village next week."""
    return _going(rng, _subject(rng), rng.choice(FUTURE_TIMES))


@_pattern("travel")
def _goes_often(rng: random.Random) -> Parallel:
    """My sister goes to the market every day by bus."""
    who, place, when, by = (
        _subject(rng),
        _noun_phrase(rng.choice(DESTINATIONS)),
        rng.choice(HABIT_TIMES),
        rng.choice(BY),
    )
    return (
        _join(who.en, "go" if who.person else "goes", f"to {place.en} {by[0]} {when[0]}"),
        _join(who.es, ("va", "van", "vamos")[who.person], f"a {place.es} {by[1]} {when[1]}"),
        _join(who.hi, when[2], by[2], place.oblique, "जा" + _PARTICIPLE[who.form], _BE[who.form]),
    )
