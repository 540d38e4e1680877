"""Grammar of clauses: activities, tenses and plans, with verbs that agree with their subject or object."""

import functools
import random
from dataclasses import dataclass

from .grammar import _BE, Subject, _join, _noun_phrase
from .inflection import Parallel, _rows
from .words_places import CITIES, DESTINATIONS
from .words_things import NOUNS
from .words_verbs import _GOING, _VERBS


@dataclass(frozen=True)
class Activity:
    """A verb with its object.

    Attributes:
        en: (read, reads, reading) a book.
        es: (leer, lee, leen, leemos, leyendo, lea).
        es_future: Stem of the future, "leer".
        tail: (English, Spanish) object.
        hi: What stands before the Hindi verb, "किताब".
        stem: Hindi verb stem, "पढ़".
        agreement: Form of a Hindi infinitive that agrees with the object: 0 to 3 as in `Subject.form`, 3 being plural.
    """

    en: tuple[str, str, str]
    es: tuple[str, str, str, str, str, str]
    es_future: str
    tail: tuple[str, str]
    hi: str
    stem: str
    agreement: int = 0


@functools.cache
def _activities() -> tuple[Activity, ...]:
    activities = []
    for english, spanish, hindi, objects in _rows(_VERBS):
        base, third, gerund, *preposition = (word.replace("_", " ") for word in english.split())
        infinitive, he, they, we, doing, command, *rest = spanish.split()
        future = rest.pop() if rest and rest[-1] != "en" else infinitive
        before, stem = (part.strip() for part in hindi.split(","))
        for thing in objects.split(","):
            determiner, _, name = thing.strip().partition(" ")
            if not name:  # "tea": no article
                determiner, name = "", thing.strip()
            plural = name not in NOUNS
            noun = next(noun for noun in NOUNS.values() if noun.en_plural == name) if plural else NOUNS[name]
            phrase = _noun_phrase(noun, "a" if determiner == "an" else determiner, plural=plural)
            oblique = before.startswith("में")
            activities.append(
                Activity(
                    (base, third, gerund),
                    (infinitive, he, they, we, doing, command),
                    future,
                    (_join(*preposition, phrase.en), _join(*rest, phrase.es)),
                    _join(phrase.oblique if oblique else phrase.hi, before),
                    stem,
                    0 if oblique else (noun.hi_gender == "f") + 2 * plural,
                )
            )
    return tuple(activities)


_MATRAS = tuple("ािीुूेैोौ")
_PARTICIPLE = ("ता", "ती", "ते", "ती")
_GOING_ON = ("रहा", "रही", "रहे", "रही")
_EN_BE = ("is", "are", "are", "am")
_ES_BE = ("está", "están", "estamos")
_EN_HAVE = ("has", "have", "have", "have")
_ES_HAVE = ("tiene", "tienen", "tenemos", "tengo")
_ES_WANT = ("quiere", "quieren", "queremos")
_ES_CAN = ("puede", "pueden", "podemos")
_ES_CLITIC = ("le", "les", "nos", "me")


def _hindi_future(stem: str, form: int) -> str:
    if stem.endswith("ी"):  # पी, पिएगा
        stem = stem[:-1] + "ि"
    nasal = form > 1
    if stem.endswith(_MATRAS):
        return stem + ("एँ" if nasal else "ए") + ("गा", "गी", "गे", "गी")[form]
    return stem + ("ें" if nasal else "े") + ("गा", "गी", "गे", "गी")[form]


def _hindi_request(stem: str) -> str:
    irregular = {"कर": "कीजिए", "पी": "पीजिए"}
    return irregular.get(stem, stem + ("इए" if stem.endswith(_MATRAS) else "िए"))


def _spanish_future(stem: str, person: int) -> str:
    return stem + ("á", "án", "emos")[person]


def _doing(who: Subject, what: Activity, negative: bool = False) -> Parallel:
    """The present progressive."""
    return (
        _join(who.en, _EN_BE[who.person], "not" if negative else "", what.en[2], what.tail[0]),
        _join(who.es, "no" if negative else "", _ES_BE[who.person], what.es[4], what.tail[1]),
        _join(who.hi, what.hi, "नहीं" if negative else "", what.stem, _GOING_ON[who.form], _BE[who.form]),
    )


def _will_do(who: Subject, what: Activity, when: Parallel = ("", "", ""), negative: bool = False) -> Parallel:
    return (
        _join(who.en, "will", "not" if negative else "", what.en[0], what.tail[0], when[0]),
        _join(who.es, "no" if negative else "", _spanish_future(what.es_future, who.person), what.tail[1], when[1]),
        _join(who.hi, when[2], what.hi, "नहीं" if negative else "", _hindi_future(what.stem, who.form)),
    )


def _going(rng: random.Random, who: Subject, when: Parallel = ("", "", "")) -> Parallel:
    """The future of a verb of motion, to a place or a city."""
    english, spanish, stem = rng.choice(_GOING)
    base, infinitive = english.split()[0], spanish.split()[0]
    place = _noun_phrase(rng.choice(DESTINATIONS))
    to = (place.en, place.es, place.oblique)
    preposition = "at" if base == "arrive" else "to"
    if base != "arrive" and rng.random() < 0.5:
        to = rng.choice(CITIES)
    return (
        _join(who.en, "will", base, preposition, to[0], when[0]),
        _join(who.es, _spanish_future(infinitive, who.person), "a", to[1], when[1]),
        _join(who.hi, when[2], to[2], _hindi_future(stem, who.form)),
    )


def _plan(rng: random.Random, who: Subject, when: Parallel = ("", "", "")) -> Parallel:
    """Something in the future."""
    return _going(rng, who, when) if rng.random() < 0.4 else _will_do(who, rng.choice(_activities()), when)
