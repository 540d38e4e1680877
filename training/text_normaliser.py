"""The text normaliser of WER, CER and ASR-BLEU: case and punctuation do not count, letters and their marks do.

Whisper's BasicTextNormalizer drops combining marks, and with them the vowels of Devanagari ("छोटा" -> "छ ट"). This one
drops the Unicode categories P (punctuation) and S (symbols) and nothing else.
"""

import unicodedata

APOSTROPHES = frozenset("'’ʼ`´")  # inside a word they join it ("don't" -> "dont"); other punctuation parts words


def normalise_text(text: str) -> str:
    """NFC, lower case, no punctuation or symbols, single spaces; a second pass changes nothing.

    Letters, marks (category M: Devanagari matras, virama and nukta) and digits of every script stay. The two spellings
    of a nukta letter become one.

    Example:
        >>> normalise_text("  Un círculo ROJO, ¿verdad?"), normalise_text("छोटा घेरा।")
        ('un círculo rojo verdad', 'छोटा घेरा')
    """
    text = unicodedata.normalize("NFC", text).lower()
    kept = [_kept(character) for character in text]
    # once more, for letters that lower() took apart and for marks that punctuation kept from their letter
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())


def _kept(character: str) -> str:
    if unicodedata.category(character)[0] not in "PS":
        return character
    return "" if character in APOSTROPHES else " "
