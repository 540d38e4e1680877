"""Grammar of noun phrases: determiners, agreement, the people of a sentence, and spelling beside neighbours."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .inflection import Adjective, Noun
from .numbers import number_words
from .words_people import NAMES, PEOPLE
from .words_things import ADJECTIVES, QUALITIES


@dataclass(frozen=True)
class NounPhrase:
    """A noun with all that belongs to it: Hindi in the direct case and before a postposition."""

    en: str
    es: str
    hi: str
    oblique: str
    noun: Noun
    plural: bool = False


@dataclass(frozen=True)
class Subject:
    """Who does something.

    Attributes:
        oblique: Hindi before a postposition.
        dative: Hindi with को.
        person: Spanish and English verb form: 0 he or she, 1 they, 2 we, 3 i.
        form: Hindi verb form: 0 masculine, 1 feminine, 2 masculine plural or respect, 3 feminine respect.
        feminine: Of Spanish adjectives.
    """

    en: str
    es: str
    hi: str
    oblique: str
    dative: str
    person: int
    form: int
    feminine: bool


POSSESSORS = {  # Spanish (m, f, plural m, plural f), Hindi (m, m oblique or plural, f)
    "my": (("mi", "mi", "mis", "mis"), ("मेरा", "मेरे", "मेरी")),
    "our": (("nuestro", "nuestra", "nuestros", "nuestras"), ("हमारा", "हमारे", "हमारी")),
    "your": (("su", "su", "sus", "sus"), ("आपका", "आपके", "आपकी")),
}
# English (one, several), Spanish, Hindi direct (one, several), Hindi oblique
DETERMINERS = {
    "the": (("the", "the"), ("el", "la", "los", "las"), ("", ""), ("", "")),
    "a": (("a", ""), ("un", "una", "", ""), ("एक", ""), ("एक", "")),
    "this": (("this", "these"), ("este", "esta", "estos", "estas"), ("यह", "ये"), ("इस", "इन")),
    "that": (("that", "those"), ("ese", "esa", "esos", "esas"), ("वह", "वे"), ("उस", "उन")),
    "": (("", ""), ("", "", "", ""), ("", ""), ("", "")),
}


def _noun_phrase(
    noun: Noun, determiner: str = "the", adjectives: Sequence[Adjective] = (), plural: bool = False, count: int = 0
) -> NounPhrase:
    """A noun with a determiner of `DETERMINERS` or `POSSESSORS`, or with a count of two or more."""
    plural = plural or count > 1
    number, feminine_es, feminine_hi = int(plural), noun.es_gender == "f", noun.hi_gender == "f"
    if count:
        en, es = number_words(count, "en"), number_words(count, "es", noun.es_gender)
        hi = oblique = number_words(count, "hi")
    elif determiner in POSSESSORS:
        spanish, hindi = POSSESSORS[determiner]
        en, es = determiner, spanish[2 * number + feminine_es]
        hi, oblique = (hindi[2], hindi[2]) if feminine_hi else (hindi[number], hindi[1])
    else:
        english, spanish, direct, before = DETERMINERS[determiner]
        en, es, hi, oblique = english[number], spanish[2 * number + feminine_es], direct[number], before[number]
    return NounPhrase(
        _join(en, *(word.en for word in adjectives), noun.en_plural if plural else noun.en),
        _join(es, noun.es_plural if plural else noun.es, *(word.es[2 * number + feminine_es] for word in adjectives)),
        _join(
            hi,
            *(word.hi[2 if feminine_hi else number] for word in adjectives),
            noun.hi_plural if plural else noun.hi,
        ),
        _join(
            oblique,
            *(word.hi[2 if feminine_hi else 1] for word in adjectives),
            noun.hi_plural_oblique if plural else noun.hi_oblique,
        ),
        noun,
        plural,
    )


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _spelt(english: str, spanish: str) -> tuple[str, str]:
    """The changes that neighbouring words make: a -> an; de el -> del, a el -> al, y -> e, o -> u."""
    english = re.sub(r"\ba (?=[aeiou])(?!one|uni|use)", "an ", english)
    spanish = re.sub(r"\b(de|a) el\b", lambda match: {"de": "del", "a": "al"}[match[1]], spanish)
    return english, re.sub(r"\by (?=i|hi(?!e))", "e ", spanish)


def _named(rng: random.Random) -> Subject:
    english, spanish, hindi = rng.choice(NAMES)
    name, gender = english.split()
    return Subject(name, spanish, hindi, hindi, f"{hindi} को", 0, int(gender == "f"), gender == "f")


def _relative(rng: random.Random) -> Subject:
    english, spanish, hindi = rng.choice(PEOPLE)
    es, es_gender = spanish.split()
    hi, gender, *respect = hindi.split()
    hi = hi.replace("_", " ")
    possessor = rng.choice(("my", "your") if english in ("husband", "wife") else tuple(POSSESSORS))
    spanish_forms, hindi_forms = POSSESSORS[possessor]
    feminine, form = es_gender == "f", (gender == "f") + 2 * bool(respect)
    oblique = hi[:-1] + "े" if hi == "बेटा" else hi
    direct = f"{hindi_forms[2] if feminine else hindi_forms[bool(respect)]} {hi}"
    before = f"{hindi_forms[2 if feminine else 1]} {oblique}"
    return Subject(
        f"{possessor} {english}",
        f"{spanish_forms[feminine]} {es}",
        direct,
        before,
        f"{before} को",
        0,
        form,
        feminine,
    )


_WE = Subject("we", "", "हम", "हम", "हमें", 2, 2, False)
_I = Subject("i", "", "मैं", "मुझ", "मुझे", 3, 0, False)
_CHILDREN = Subject("the children", "los niños", "बच्चे", "बच्चों", "बच्चों को", 1, 2, False)


def _somebody(rng: random.Random) -> Subject:
    """One other person."""
    return _named(rng) if rng.random() < 0.4 else _relative(rng)


def _subject(rng: random.Random) -> Subject:
    """Anyone but i and you."""
    drawn = rng.random()
    return _WE if drawn < 0.2 else _CHILDREN if drawn < 0.35 else _somebody(rng)


def _in(room: NounPhrase) -> str:
    return f"on {room.en}" if room.noun.en == "balcony" else f"in {room.en}"


def _own(who: Subject, hindi: str) -> str:
    """Hindi says अपना for what belongs to the subject of the clause: हम अपनी बहन."""
    return re.sub(r"^हमार(?=[ाेी])", "अपन", hindi) if who == _WE else hindi


def _two_people(rng: random.Random, draw: Callable[[random.Random], Subject]) -> tuple[Subject, Subject]:
    first = draw(rng)
    second = draw(rng)
    while second == first:
        second = draw(rng)
    return first, second


_BE = ("है", "है", "हैं", "हैं")


def _quality(rng: random.Random) -> tuple[Noun, Adjective]:
    """A noun and what can be said of it."""
    nouns, names = rng.choice(QUALITIES)
    return rng.choice(nouns), ADJECTIVES[rng.choice(names.split())]


def _is(phrase: NounPhrase, adjective: Adjective) -> tuple[str, str, str, str]:
    """(is, es or está, adjective, adjective in Hindi) that agree with a noun phrase."""
    feminine_hi = phrase.noun.hi_gender == "f"
    be = (("es", "son"), ("está", "están"))[adjective.estar][phrase.plural]
    spanish = adjective.es[2 * phrase.plural + (phrase.noun.es_gender == "f")]
    return ("are" if phrase.plural else "is", be, spanish, adjective.hi[2 if feminine_hi else int(phrase.plural)])


def _hindi_be(plural: bool) -> str:
    return _BE[2 * plural]
