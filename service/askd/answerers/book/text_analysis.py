"""Text analysis of questions: the normalized form for exact matches, and the search terms for fuzzy matches.

Terms are stems of words, and pairs of characters for scripts without spaces between words.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Mapping
from typing import Final, NamedTuple

import tantivy

from askd.answerers.book.languages import LANGUAGES, UNSPACED_STOP_WORDS, Language

_QUESTION_LEAD: Final = re.compile(
    r"(?:please )?(?:(?:can|could|would|will) you )?(?:please )?(?:tell me |explain )?(?:to me )?"
    r"(?:what (?:is|s|are|re|was|were)|whats|define|explain|describe|tell me about)"
    r"(?: meant by| the meaning of)? (?:an? |the )?(?=.)"
)
_MEANING_QUESTION: Final = re.compile(r"what (?:does|do) (?:an? |the )?(.+) (?:mean|stand for)")
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


_CLAUSE_END: Final = re.compile(r"[.!?;:]+(?=\s|$)|,(?=\s)|\s[-\u2013\u2014]+(?=\s)|[\u2026\"\u201c\u201d\u201e\n]")


def normalize_clauses(text: str) -> str:
    """Return the normalized form of a text with a line for each of its clauses, which end at punctuation."""
    clauses = [normalize(clause) for clause in _CLAUSE_END.split(text) if not clause.isspace()]
    return "\n".join(filter(None, clauses)) or normalize(text)


def strip_question_lead(normalized: str) -> str:
    """Return a normalized question without a lead such as "what's a", "define" or "explain"."""
    if normalized.startswith("what do") and (meaning := _MEANING_QUESTION.fullmatch(normalized)):
        return meaning[1]
    lead = _QUESTION_LEAD.match(normalized)
    return normalized[lead.end() :] if lead else normalized


# Scripts without spaces between words, and Hangul, whose words have endings. Lucene's CJK analyzer splits these scripts
# into pairs of characters for the same reason.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_UNSPACED_RUN: Final = re.compile(f"[{_UNSPACED}]+")
UNSPACED_STOP_WORDS_PATTERN: Final = re.compile("|".join(UNSPACED_STOP_WORDS))
_HIRAGANA: Final = re.compile("[\u3041-\u309f]+")


def separate_terms(normalized: str) -> str:
    """Return a normalized question with spaces between all terms; scripts without spaces become pairs of characters.

    Particles and question words of these scripts are removed, unless nothing else remains.
    """
    if normalized.isascii() or not _UNSPACED_RUN.search(normalized):
        return normalized
    subject = UNSPACED_STOP_WORDS_PATTERN.sub(" ", normalized)
    content = _HIRAGANA.sub(" ", subject)  # in Japanese, hiragana are mostly particles and endings
    text = next((text for text in (content, subject) if text.strip()), normalized)
    return " ".join(_UNSPACED_RUN.sub(_to_bigrams, text).split())


def _to_bigrams(run: re.Match[str]) -> str:
    text = run[0]
    pairs = (text[start : start + 2] for start in range(max(1, len(text) - 1)))
    return f" {' '.join(pairs)} "


STOP_WORDS_FIELD: Final = "plain"
"""Index field for questions of stop words only, such as "who are you"; they would be empty in a language's field."""

PLAIN_ANALYZER: Final = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
"""Analyzer of the field for questions of stop words only."""

_NUMBER_WORDS: Final = {
    word: str(number)
    for words in ("two three four five six seven eight nine ten eleven twelve", "zwei drei vier fünf sechs sieben acht")
    for number, word in enumerate(words.split(), 2)
}
BEGINNING_LENGTH: Final = 5
"""Number of characters that two words with the same beginning have in common."""


class Words(NamedTuple):
    """Words of a question, each with its stem."""

    words: list[str]
    stems: list[str]
    joined_stems: list[str]
    """Stem of each word written as one with the next."""
    content: list[int]
    """Positions of the words that are not stop words."""
    clause_starts: list[int]
    """Positions of the first words of all clauses but the first."""


def split_words(normalized: str, language: Language) -> Words:
    """Return the words of a normalized question. Cached, because a question is both compared and checked."""
    return _split_words(separate_terms(normalized), language.name)


@functools.lru_cache(maxsize=64)
def _split_words(text: str, language_name: str) -> Words:
    language = LANGUAGES[language_name]
    words = [_NUMBER_WORDS.get(word, word) for word in text.split()]
    starts: set[int] = set()
    if not language.clause_openers.isdisjoint(words):
        starts.update(position for position, word in enumerate(words) if position and word in language.clause_openers)
    if "\n" in text:
        starts.update(itertools.accumulate(len(line.split()) for line in text.split("\n")[:-1]))
    pairs = list(map(str.__add__, words, words[1:]))
    stems = language.stemmer.analyze(" ".join(words + pairs))
    joined_stems = stems[len(words) :]
    del stems[len(words) :]
    content = [position for position, word in enumerate(words) if word not in language.stop_words]
    if language.separable_prefixes and len(words) > 2 and words[-1] in language.separable_prefixes:
        content = [position for position in content if position < len(words) - 1]
        if content:
            stems[content[0]] = words[-1] + stems[content[0]]
    return Words(words, stems, joined_stems, content, sorted(starts))


class Analysis(NamedTuple):
    """What the similarity of a question depends on."""

    terms: tuple[str, ...]
    """Stems of the content words, or all words if there are only stop words; each once, in their order."""
    beginnings: Mapping[str, str]
    """Terms by their first five characters."""
    joined: Mapping[str, tuple[str, str]]
    """Stems of two adjacent words written as one ("wifi" for "Wi-Fi"), with the stems of both words."""
    has_only_stop_words: bool
    clauses: list[frozenset[str]]
    """Terms of each clause that has any; empty for a question of one clause."""
    words: Mapping[str, str]
    """The content words by their stems."""


def analyze(normalized: str, language: Language) -> Analysis:
    """Analyze a question as one of this language. `normalize` or `normalize_clauses` has returned it."""
    words, stems, joined_stems, content, starts = split_words(normalized, language)
    terms = tuple(dict.fromkeys([stems[position] for position in content] or words))
    clauses: list[frozenset[str]] = []
    if starts and content:
        bounds = [0, *starts, len(words)]
        clauses = [
            frozenset(stems[position] for position in content if start <= position < end)
            for start, end in itertools.pairwise(bounds)
        ]
        clauses = [clause for clause in clauses if clause]
    return Analysis(
        terms=terms,
        beginnings={term[:BEGINNING_LENGTH]: term for term in terms if len(term) >= BEGINNING_LENGTH},
        joined={
            # With the stem of the first word too: "setting up" is "setup".
            **{
                stem + word: pair for stem, word, pair in zip(stems, words[1:], itertools.pairwise(stems), strict=False)
            },
            **dict(zip(joined_stems, itertools.pairwise(stems), strict=True)),
        },
        has_only_stop_words=not content,
        clauses=clauses if len(clauses) > 1 else [],
        words={stems[position]: words[position] for position in content},
    )
