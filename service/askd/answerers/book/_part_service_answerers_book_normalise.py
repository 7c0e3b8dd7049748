"""The one form in which questions are compared."""

import re
import unicodedata
from typing import Final

_LEAD: Final = re.compile(
    r"(?:please )?(?:(?:can|could|would|will) you )?(?:please )?(?:tell me |explain )?(?:to me )?"
    r"(?:what (?:is|s|are|re|was|were)|whats|define|explain|describe|tell me about)"
    r"(?: meant by| the meaning of)? (?:an? |the )?(?=.)"
)
_SIGNS: Final = re.compile(r"(?<=[^\s+#])([+#]+)(?=\s|$)|[+#]+")
_SURROGATES: Final = re.compile("[\ud800-\udfff]+")
_WORD_CATEGORIES: Final = frozenset({"L", "M", "N"})


class _Fold(dict[int, str | None]):
    """Translation by category: words stay, what is no part of one becomes a space, invisible marks go."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F:
            folded = None
        elif category[0] in _WORD_CATEGORIES or category == "So" or char in "+#" or 0x1F3FB <= code <= 0x1F3FF:
            folded = char
        else:
            folded = " "
        if code < 0x3000:  # bounded: a client could otherwise make us remember all of Unicode
            self[code] = folded
        return folded


_FOLD: Final = _Fold()
_ASCII: Final = bytes(ord(_FOLD[ord(chr(code).lower())] or " ") for code in range(128)) + bytes(128)
"""The same for ASCII, lower case included, as `bytes.translate` wants it: twice as fast, and most is ASCII."""


def normalise(text: str) -> str:
    """Return the form in which two spellings of one question are equal; empty only for a blank text.

    Case, width, white space and punctuation go. What stays beside words: `+` and `#` at a word's end (C, C++ and C#
    are three questions), emoji, and, where nothing else is there, the punctuation itself (`?` may be a question).
    """
    if text.isascii():
        folded = text
        spaced = text.encode("ascii").translate(_ASCII).decode("ascii")
    else:
        folded = _compatible(text)
        spaced = folded.translate(_FOLD)
    if "+" in spaced or "#" in spaced:
        spaced = _SIGNS.sub(lambda signs: signs[1] or " ", spaced)
    return " ".join(spaced.split()) or " ".join(_SURROGATES.sub(" ", folded).split())


def _compatible(text: str) -> str:
    """Caseless compatibility form: Unicode Standard 3.13, definition D146, less the first decomposition."""
    visible = "".join(char for char in text if _FOLD[ord(char)] is not None) or text
    folded = unicodedata.normalize("NFKC", visible).casefold()
    return unicodedata.normalize("NFKC", folded)


def bare(normal: str) -> str:
    """Return a normalised question without its leading "what is a", "define", "explain" and the like."""
    lead = _LEAD.match(normal)
    return normal[lead.end() :] if lead else normal
