"""Text analysis of questions: the normalized form for exact matches, and the search terms for fuzzy matches.

Terms are words, their stems, and pairs of characters for scripts without spaces between words.
"""

import re
import unicodedata
from typing import Final

import tantivy

_QUESTION_LEAD: Final = re.compile(
    r"(?:please )?(?:(?:can|could|would|will) you )?(?:please )?(?:tell me |explain )?(?:to me )?"
    r"(?:what (?:is|s|are|re|was|were)|whats|define|explain|describe|tell me about)"
    r"(?: meant by| the meaning of)? (?:an? |the )?(?=.)"
)
_PLUS_AND_HASH_SIGNS: Final = re.compile(r"(?<=[^\s+#])([+#]+)(?=\s|$)|[+#]+")
_SURROGATES: Final = re.compile("[\ud800-\udfff]+")
_WORD_CATEGORIES: Final = frozenset({"L", "M", "N"})


class _CharacterFolding(dict[int, str | None]):
    """Table for `str.translate`: keeps word characters, removes invisible ones, and maps all others to a space."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F:
            folded = None
        elif category[0] in _WORD_CATEGORIES or category == "So" or char in "+#" or 0x1F3FB <= code <= 0x1F3FF:
            folded = char
        else:
            folded = " "
        if code < 0x3000:  # bounds the memory: a client could otherwise fill the table with all of Unicode
            self[code] = folded
        return folded


_FOLDING_TABLE: Final = _CharacterFolding()
_ASCII_FOLDING_TABLE: Final = bytes(
    ord(_FOLDING_TABLE[ord(chr(code).lower())] or " ") if code < 128 else 0 for code in range(256)
)
"""The same for `bytes.translate`, including lowercasing. Twice as fast, and most questions are ASCII."""


def normalize(text: str) -> str:
    """Return a form that is equal for all spellings of a question; empty only for a blank text.

    Removes differences in case, character width, whitespace and punctuation. Keeps `+` and `#` at the end of a word
    (C, C++ and C# are three questions), emoji, and the punctuation of a text without words (`?` may be a question).
    """
    if text.isascii():
        folded = text
        spaced = text.encode("ascii").translate(_ASCII_FOLDING_TABLE).decode("ascii")
    else:
        folded = _fold_unicode(text)
        spaced = folded.translate(_FOLDING_TABLE)
    if "+" in spaced or "#" in spaced:
        spaced = _PLUS_AND_HASH_SIGNS.sub(lambda signs: signs[1] or " ", spaced)
    return " ".join(spaced.split()) or " ".join(_SURROGATES.sub(" ", folded).split())


def _fold_unicode(text: str) -> str:
    """Return the caseless compatibility form: Unicode Standard 3.13, definition D146, without its first NFD step."""
    visible = "".join(char for char in text if _FOLDING_TABLE[ord(char)] is not None) or text
    folded = unicodedata.normalize("NFKC", visible).casefold()
    return unicodedata.normalize("NFKC", folded)


def strip_question_lead(normalized: str) -> str:
    """Return a normalized question without a lead such as "what's a", "define" or "explain"."""
    lead = _QUESTION_LEAD.match(normalized)
    return normalized[lead.end() :] if lead else normalized


# Scripts without spaces between words, and Hangul, whose words have endings. Lucene's CJK analyzer splits these scripts
# into pairs of characters for the same reason.
_UNSPACED_SCRIPTS: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff]+"
)
_UNSPACED_QUESTION_LEAD: Final = re.compile(
    "什么是|什麼是|是什么|是什麼|请问|請問|请解释|とは何ですか|とは何|とは|って何|は何ですか|무엇인가요|무엇입니까|이란"
)

_STOP_WORDS_TEXT: Final = """
    a about actually an and any are as at basically be been being briefly by called can could define definition
    describe did do does doing er exactly explain for from had has have having hello hey hi how i if in into is
    it its just kindly know ll like made make makes me mean meaning means meant mine my of on or our please
    quite re really s say shall should show simply so some something stand stands such t tell term than thank
    thanks that the their them then there these they thing things this those to understand us used using ve very
    want was we were what whats when where which who whose why will wish with word work working works would you
    your
"""
STOP_WORDS: Final = frozenset(_STOP_WORDS_TEXT.split())
"""English words for the form of a question rather than its subject. A question without other words keeps them."""

CONTENT_WORDS_FIELD: Final = "words"
"""Index field for most questions; without stop words, and with stemming."""
STOP_WORDS_FIELD: Final = "plain"
"""Index field for questions of stop words only, which would be empty in the other field."""


def separate_terms(normalized: str) -> str:
    """Return a normalized question with spaces between all terms; scripts without spaces become pairs of characters."""
    if normalized.isascii():
        return normalized
    subject = _UNSPACED_QUESTION_LEAD.sub(" ", normalized)
    return _UNSPACED_SCRIPTS.sub(_to_bigrams, subject if subject.strip() else normalized)


def _to_bigrams(run: re.Match[str]) -> str:
    text = run[0]
    pairs = (text[start : start + 2] for start in range(max(1, len(text) - 1)))
    return f" {' '.join(pairs)} "


def has_only_stop_words(normalized: str) -> bool:
    """Return whether a normalized question consists of stop words only, such as "who are you"."""
    return STOP_WORDS.issuperset(normalized.split())


def _build_analyzer(*, remove_stop_words: bool) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    if remove_stop_words:
        builder = builder.filter(tantivy.Filter.custom_stopword(sorted(STOP_WORDS)))
        builder = builder.filter(tantivy.Filter.stemmer("english"))
    return builder.build()


ANALYZERS: Final = {
    CONTENT_WORDS_FIELD: _build_analyzer(remove_stop_words=True),
    STOP_WORDS_FIELD: _build_analyzer(remove_stop_words=False),
}
"""Analyzers by field, shared by indexing and searching. They expect the output of `separate_terms`."""


def analyze(normalized: str) -> tuple[str, list[str]]:
    """Return the field of a normalized question, and its terms in that field."""
    field = STOP_WORDS_FIELD if has_only_stop_words(normalized) else CONTENT_WORDS_FIELD
    return field, ANALYZERS[field].analyze(separate_terms(normalized))
