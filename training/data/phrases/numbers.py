"""Whole numbers and ordinals in words: 0 to 100 in English, Spanish and Hindi."""

import re

from ....processing.errors import TriglotError
from ..scenes import SCENE_LANGUAGES

LARGEST = 40  # number that phrases say; Hindi has a word of its own for each below 100

_EN_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_EN_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_EN_ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
]
_ES_ONES = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
]
_ES_TENS = ["treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"]
_HI_NUMBERS = [
    "शून्य",
    "एक",
    "दो",
    "तीन",
    "चार",
    "पाँच",
    "छह",
    "सात",
    "आठ",
    "नौ",
    "दस",
    "ग्यारह",
    "बारह",
    "तेरह",
    "चौदह",
    "पंद्रह",
    "सोलह",
    "सत्रह",
    "अठारह",
    "उन्नीस",
    "बीस",
    "इक्कीस",
    "बाईस",
    "तेईस",
    "चौबीस",
    "पच्चीस",
    "छब्बीस",
    "सत्ताईस",
    "अट्ठाईस",
    "उनतीस",
    "तीस",
    "इकतीस",
    "बत्तीस",
    "तैंतीस",
    "चौंतीस",
    "पैंतीस",
    "छत्तीस",
    "सैंतीस",
    "अड़तीस",
    "उनतालीस",
    "चालीस",
    "इकतालीस",
    "बयालीस",
    "तैंतालीस",
    "चवालीस",
    "पैंतालीस",
    "छियालीस",
    "सैंतालीस",
    "अड़तालीस",
    "उनचास",
    "पचास",
    "इक्यावन",
    "बावन",
    "तिरपन",
    "चौवन",
    "पचपन",
    "छप्पन",
    "सत्तावन",
    "अट्ठावन",
    "उनसठ",
    "साठ",
    "इकसठ",
    "बासठ",
    "तिरसठ",
    "चौंसठ",
    "पैंसठ",
    "छियासठ",
    "सड़सठ",
    "अड़सठ",
    "उनहत्तर",
    "सत्तर",
    "इकहत्तर",
    "बहत्तर",
    "तिहत्तर",
    "चौहत्तर",
    "पचहत्तर",
    "छिहत्तर",
    "सतहत्तर",
    "अठहत्तर",
    "उनासी",
    "अस्सी",
    "इक्यासी",
    "बयासी",
    "तिरासी",
    "चौरासी",
    "पचासी",
    "छियासी",
    "सतासी",
    "अठासी",
    "नवासी",
    "नब्बे",
    "इक्यानवे",
    "बानवे",
    "तिरानवे",
    "चौरानवे",
    "पचानवे",
    "छियानवे",
    "सतानवे",
    "अठानवे",
    "निन्यानवे",
    "सौ",
]


def number_words(number: int, language: str, gender: str = "") -> str:
    """A number from 0 to 100 in words.

    Args:
        number: 0 to 100.
        language: "en", "es" or "hi".
        gender: Spanish only: "m" or "f" before a noun of that gender ("veintiún", "veintiuna"), "" when alone.

    Raises:
        TriglotError: another number or language.
    """
    if not 0 <= number <= 100 or language not in SCENE_LANGUAGES:
        raise TriglotError(f"{number!r} in {language!r}; 0 to 100 in {', '.join(SCENE_LANGUAGES)} can be said.")
    if language == "hi":
        return _HI_NUMBERS[number]
    if language == "en":
        if number < 20:
            return _EN_ONES[number]
        ones = f" {_EN_ONES[number % 10]}" if number % 10 else ""
        return "one hundred" if number == 100 else _EN_TENS[number // 10 - 2] + ones
    if number == 100:
        return "cien"
    ones = f" y {_ES_ONES[number % 10]}" if number % 10 else ""
    words = _ES_ONES[number] if number < 30 else _ES_TENS[number // 10 - 3] + ones
    if gender == "f":
        return re.sub("uno$", "una", words)
    return re.sub("uno$", "un", words).replace("veintiun", "veintiún") if gender == "m" and number % 10 == 1 else words


def ordinal_words(number: int) -> str:
    """The English ordinal of 1 to 39: "third", "twenty first"."""
    if number <= 20:
        return _EN_ORDINALS[number - 1]
    return "thirtieth" if number == 30 else f"{_EN_TENS[number // 10 - 2]} {_EN_ORDINALS[number % 10 - 1]}"
