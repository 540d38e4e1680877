"""Nouns and adjectives with all their forms, and the reading of the tables that they are written in."""

from dataclasses import dataclass

Parallel = tuple[str, str, str]  # the same in English, Spanish, Hindi


@dataclass(frozen=True)
class Noun:
    """A noun with its plural, Spanish and Hindi gender ("m", "f") and Hindi case."""

    en: str
    en_plural: str
    es: str
    es_plural: str
    es_gender: str
    hi: str
    hi_oblique: str
    hi_plural: str
    hi_plural_oblique: str
    hi_gender: str


@dataclass(frozen=True)
class Adjective:
    """An adjective: Spanish (m, f, m plural, f plural), Hindi (m, m oblique or plural, f), and which 'be' it takes."""

    en: str
    comparative: str
    es: tuple[str, str, str, str]
    hi: tuple[str, str, str]
    estar: bool


def _rows(text: str) -> list[list[str]]:
    """Lines of fields between bars; an underscore is a space inside a word."""
    return [[field.strip() for field in line.split("|")] for line in text.strip().splitlines()]


def _parallel(text: str) -> tuple[Parallel, ...]:
    return tuple((en, es, hi) for en, es, hi in _rows(text))


def _spanish_plural(word: str) -> str:
    head, _, rest = word.partition("_")  # parada_de_autobús: the first word is the noun
    if head[-1] in "aeiouáéó":
        head += "s"
    elif head.endswith("z"):
        head = head[:-1] + "ces"
    else:
        for accented, plain in ("án", "an"), ("én", "en"), ("ín", "in"), ("ón", "on"), ("ús", "us"), ("és", "es"):
            if head.endswith(accented):
                head = head[: -len(accented)] + plain
        head += "es"
    return f"{head}_{rest}" if rest else head


def _hindi_forms(word: str, gender: str) -> tuple[str, str, str, str]:
    """(direct, oblique, plural, plural oblique) of a regular noun."""
    if gender == "m":
        if word.endswith("ा"):
            return word, word[:-1] + "े", word[:-1] + "े", word[:-1] + "ों"
        if word.endswith(("ी", "ू")):
            return word, word, word, word[:-1] + ("ियों" if word.endswith("ी") else "ुओं")
        return word, word, word, word + "ों"
    if word.endswith("ी"):
        return word, word, word[:-1] + "ियाँ", word[:-1] + "ियों"
    if word.endswith(("ा", "ई")):
        stem = word[:-1] + "इय" if word.endswith("ई") else word + "ए"
        return (word, word, stem + "ाँ", stem + "ों") if word.endswith("ई") else (word, word, stem + "ँ", word + "ओं")
    return word, word, word + "ें", word + "ों"


def _nouns(text: str) -> tuple[Noun, ...]:
    """One noun a line: `English [plural] | Spanish gender [plural] | Hindi gender`."""
    nouns = []
    for english, spanish, hindi in _rows(text):
        en, *en_plural = english.split()
        es, es_gender, *es_plural = spanish.split()
        hi, hi_gender = hindi.split()
        words = (en, *(en_plural or [en + "s"]), es, *(es_plural or [_spanish_plural(es)]), es_gender)
        nouns.append(Noun(*(word.replace("_", " ") for word in (*words, *_hindi_forms(hi, hi_gender), hi_gender))))
    return tuple(nouns)


def _spanish_adjective(word: str) -> tuple[str, str, str, str]:
    if word.endswith("o"):
        return word, word[:-1] + "a", word + "s", word[:-1] + "as"
    plural = _spanish_plural(word)
    return word, word, plural, plural


def _hindi_adjective(words: str) -> tuple[str, str, str]:
    """All parts that end in ा decline: थका हुआ, थके हुए, थकी हुई; so do नया, नए, नई and बायाँ, बाएँ, बाईं."""
    endings = (("याँ", "एँ", "ईं"), ("या", "ए", "ई"), ("आ", "ए", "ई"), ("ा", "े", "ी"), ("", "", ""))
    parts = []
    for part in words.split():
        ending, oblique, feminine = next(row for row in endings if part.endswith(row[0]))
        stem = part[: len(part) - len(ending)]
        parts.append((part, stem + oblique, stem + feminine))
    direct, before, feminine = (" ".join(forms) for forms in zip(*parts))
    return direct, before, feminine


def _adjectives(text: str) -> dict[str, Adjective]:
    """One a line: `English [comparative] | Spanish [estar] | Hindi`."""
    table = {}
    for english, spanish, hindi in _rows(text):
        en, *comparative = english.split()
        es, *estar = spanish.split()
        more = comparative[0] if comparative else f"more {en}"
        table[en] = Adjective(en, more, _spanish_adjective(es), _hindi_adjective(hindi), bool(estar))
    return table
