"""Languages by ISO 639-1 code and English name; a checkpoint knows some of them."""

import difflib
from collections.abc import Iterable

from .errors import TriglotError

_TABLE = (
    "af Afrikaans, am Amharic, ar Arabic, as Assamese, az Azerbaijani, be Belarusian, bg Bulgarian, bn Bengali, "
    "br Breton, bs Bosnian, ca Catalan, cs Czech, cy Welsh, da Danish, de German, el Greek, en English, eo Esperanto, "
    "es Spanish, et Estonian, eu Basque, fa Persian, fi Finnish, fr French, ga Irish, gd Gaelic, gl Galician, "
    "gu Gujarati, ha Hausa, he Hebrew, hi Hindi, hr Croatian, ht Haitian, hu Hungarian, hy Armenian, id Indonesian, "
    "ig Igbo, is Icelandic, it Italian, ja Japanese, jv Javanese, ka Georgian, kk Kazakh, km Khmer, kn Kannada, "
    "ko Korean, ku Kurdish, ky Kyrgyz, la Latin, lb Luxembourgish, lo Lao, lt Lithuanian, lv Latvian, mg Malagasy, "
    "mi Maori, mk Macedonian, ml Malayalam, mn Mongolian, mr Marathi, ms Malay, mt Maltese, my Burmese, ne Nepali, "
    "nl Dutch, no Norwegian, oc Occitan, or Odia, pa Punjabi, pl Polish, ps Pashto, pt Portuguese, ro Romanian, "
    "ru Russian, rw Kinyarwanda, sa Sanskrit, sd Sindhi, si Sinhala, sk Slovak, sl Slovenian, so Somali, sq Albanian, "
    "sr Serbian, su Sundanese, sv Swedish, sw Swahili, ta Tamil, te Telugu, tg Tajik, th Thai, tk Turkmen, tl Tagalog, "
    "tr Turkish, tt Tatar, ug Uyghur, uk Ukrainian, ur Urdu, uz Uzbek, vi Vietnamese, wo Wolof, xh Xhosa, yo Yoruba, "
    "zh Chinese, zu Zulu"
)
LANGUAGES: dict[str, str] = dict(entry.split(" ") for entry in _TABLE.split(", "))  # type: ignore[misc]


def resolve_language(language: object, known: Iterable[str] = LANGUAGES, role: str = "language") -> str:
    """An ISO code or English name, in any case -> the ISO code.

    Args:
        language: What the user wrote.
        known: ISO codes that are allowed, i.e. the checkpoint's.
        role: How to call it in an error ("source_language").

    Raises:
        TriglotError: a language that is missing, unknown or not the checkpoint's; the message lists the known ones.

    Example:
        >>> resolve_language("Spanish", ["en", "es"]), resolve_language("EN", ["en", "es"])
        ('es', 'en')
    """
    known = list(known)
    listing = ", ".join(f"{code} ({language_name(code)})" for code in known)
    if language is None:
        raise TriglotError(f"{role} is missing; known are {listing}.")
    if not isinstance(language, str):
        raise TriglotError(f"{role} is {language!r}; an ISO code or an English name is needed: {listing}.")
    written = language.strip().casefold()
    names = {language_name(code).casefold(): code for code in known} | {code.casefold(): code for code in known}
    if written in names:
        return names[written]
    near = difflib.get_close_matches(written, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise TriglotError(f"{role} {language!r} is unknown here; known are {listing}.{hint}")


def language_name(code: str) -> str:
    """English name of an ISO code; the code itself where the table has none."""
    return LANGUAGES.get(code, code)
