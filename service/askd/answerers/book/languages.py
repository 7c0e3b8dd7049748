"""Languages that the search knows: their stop words, negations, opposites and stemmers.

The words are in `languages.yaml`, in the form that `text_analysis.normalize` returns.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import tantivy
import yaml

from askd.answerers.book.typos import count_typos

DEFAULT_LANGUAGE: Final = "english"
"""Language of a text in which no language is detected."""
_MIN_FRAME_LENGTH: Final = 6
"""Minimum length of a stop word or conversational word that is recognized with a typo; shorter ones become others."""
_MIN_OPENER_LENGTH: Final = 4
"""The same for question words and conjunctions."""
_MAX_MISSPELLED_LENGTH: Final = 24
"""Limits the time for a very long word."""
_MIN_DETECTION_LEAD: Final = 2
"""Number of stop words by which a language must lead over the second to be detected."""
_DETECTION_SAMPLE: Final = 40
"""Number of texts whose languages are detected to find the languages of all."""
_MIN_LANGUAGE_SHARE: Final = 0.1
"""Minimum share of the texts for a language to be one of the book's languages."""


class Language(NamedTuple):
    """Words of a language, and its analyzers."""

    name: str
    """Name of the language, and of its field in the index."""
    stop_words: frozenset[str]
    """Words for the form of a question rather than its subject."""
    negations: frozenset[str]
    contracted_verbs: frozenset[str]
    """The first part of contractions such as "don't", which normalization splits into "don t"."""
    trouble_words: frozenset[str]
    """Words that say that something does not work, so that they agree with a negation."""
    target_words: frozenset[str]
    """Prepositions before the target of a change: "to" in "from A to B"."""
    separable_prefixes: frozenset[str]
    """Prefixes of verbs that stand at the end of a main clause, as in German "schalte … ein" for "einschalten"."""
    light_stems: frozenset[str]
    """Stems of words that say little about the subject, so that they weigh less than others."""
    conversational_stems: frozenset[str]
    """Stems of words about the person who asks, the form of the answer, or the time, rather than about the subject."""
    frame_words: frozenset[str]
    """Stop words, conversational words and clause openers that are recognized with a typo."""
    pronouns: frozenset[str]
    """Subjects of rhetorical questions that begin with a contraction, such as "isn't that …"."""
    idioms: re.Pattern[str] | None
    """Phrases that say nothing about the subject, although their words may."""
    clause_openers: frozenset[str]
    """Words with which a further clause begins, such as conjunctions and question words."""
    poles: dict[str, frozenset[tuple[int, int]]]
    """For each stem of a word that has an opposite: the number of the pair of opposites, and the side, 0 or 1."""
    synonyms: dict[str, frozenset[str]]
    """Stems of words with nearly the same meaning in a question."""
    stemmer: tantivy.TextAnalyzer
    """Stems each word of a text."""
    indexer: tantivy.TextAnalyzer
    """Removes stop words and stems the others."""

    def is_misspelled_frame(self, word: str) -> bool:
        """Return whether a word that the book does not know is a stop word or conversational word with one typo."""
        if not _MIN_OPENER_LENGTH <= len(word) <= _MAX_MISSPELLED_LENGTH:
            return False
        misspellings = _list_misspellings(self.frame_words)
        similar = [known for part in (word, *_remove_letters(word)) for known in misspellings.get(part, ())]
        return any(known[0] == word[0] and count_typos(known, word, 1) <= 1 for known in similar)


def _remove_letters(word: str) -> Iterator[str]:
    return (word[:position] + word[position + 1 :] for position in range(len(word)))


@cache
def _list_misspellings(words: frozenset[str]) -> dict[str, list[str]]:
    """Return the words by what remains of them without one of their letters.

    Only books that get words with typos need it. For all nine languages it takes 1 MB, and
    half of the time to build them.
    """
    misspellings: dict[str, list[str]] = {}
    for word in sorted(words):
        for part in {word, *_remove_letters(word)}:
            misspellings.setdefault(part, []).append(word)
    return misspellings


def _build_language(name: str, words: dict[str, Any]) -> Language:
    stemmer = _start_analyzer().filter(tantivy.Filter.stemmer(name)).build()
    stop_words = frozenset(words["stop_words"].split())
    indexer = _start_analyzer().filter(tantivy.Filter.custom_stopword(sorted(stop_words)))
    poles: dict[str, set[tuple[int, int]]] = {}
    for pair, sides in enumerate(words["opposites"]):
        for side, text in enumerate(sides):
            for stem in stemmer.analyze(text):
                poles.setdefault(stem, set()).add((pair, side))
    synonyms: dict[str, set[str]] = {}
    for line in words.get("synonyms", ()):
        group = stemmer.analyze(line)
        for stem in group:
            synonyms.setdefault(stem, set()).update(group)
    frame_words = {word for word in (*stop_words, *words["conversational"].split()) if len(word) >= _MIN_FRAME_LENGTH}
    openers = {word for word in words["clause_openers"].split() if len(word) >= _MIN_OPENER_LENGTH}
    return Language(
        name=name,
        stop_words=stop_words,
        negations=frozenset(words["negations"].split()),
        contracted_verbs=frozenset(words.get("contracted_verbs", "").split()),
        trouble_words=frozenset(words["trouble"].split()),
        target_words=frozenset(words.get("targets", "").split()),
        separable_prefixes=frozenset(words.get("separable_prefixes", "").split()),
        light_stems=frozenset(stemmer.analyze(words.get("light", ""))),
        conversational_stems=frozenset(stemmer.analyze(words["conversational"])),
        frame_words=frozenset(frame_words | openers),
        clause_openers=frozenset(words["clause_openers"].split()),
        pronouns=frozenset(words.get("pronouns", "").split()),
        idioms=re.compile(rf"\b(?:{'|'.join(words['idioms'])})\b") if "idioms" in words else None,
        poles={stem: frozenset(pole) for stem, pole in poles.items()},
        synonyms={stem: frozenset(group - {stem}) for stem, group in synonyms.items()},
        stemmer=stemmer,
        indexer=indexer.filter(tantivy.Filter.stemmer(name)).build(),
    )


def _start_analyzer() -> tantivy.TextAnalyzerBuilder:
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())


_WORDS: Final[dict[str, Any]] = yaml.load(
    Path(__file__).with_name("languages.yaml").read_bytes(),
    Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),  # noqa: S506 - both loaders are safe
)
_UNSPACED: Final = _WORDS.pop("unspaced")
UNSPACED_STOP_WORDS: Final[list[str]] = sorted(_UNSPACED["stop_words"].split(), key=len, reverse=True)
"""Question words and particles of the scripts without spaces between words, the longest first."""
UNSPACED_NEGATIONS: Final[list[str]] = _UNSPACED["negations"].split()
UNSPACED_OPPOSITES: Final[list[list[str]]] = _UNSPACED["opposites"]
LANGUAGES: Final = {name: _build_language(name, words) for name, words in _WORDS.items()}
"""The languages with spaces between words, by name."""


_CODES: Final = dict(
    en="english",
    de="german",
    fr="french",
    es="spanish",
    it="italian",
    pt="portuguese",
    nl="dutch",
    ru="russian",
    ar="arabic",
)


def find_language(name: object) -> Language | None:
    """Return the language with an English name or an ISO 639 code such as "de" or "de-AT"; None if it is not known."""
    word = re.split("[-_]", name.lower())[0] if isinstance(name, str) else ""
    return LANGUAGES.get(_CODES.get(word, word))


def detect_language(words: Collection[str]) -> Language | None:
    """Return the language with the most stop words among `words`; None if others have nearly as many."""
    counts = sorted((len(language.stop_words.intersection(words)), language.name) for language in LANGUAGES.values())
    (second_count, _), (count, name) = counts[-2:]
    return LANGUAGES[name] if count >= second_count + _MIN_DETECTION_LEAD else None


def assign_languages(count: int, get_words: Callable[[int], Collection[str]], default: Language) -> list[Language]:
    """Return the language of each of a number of texts.

    Short texts are assigned to a language only if it is one of the languages of the texts as a whole, because names
    and loanwords mislead the detection.

    Args:
        count: Number of texts.
        get_words: Returns the normalized words of a text by its index.
        default: Language of all texts if none is detected.
    """
    sample = range(0, count, max(1, count // _DETECTION_SAMPLE))
    detected = Counter(language.name for index in sample if (language := detect_language(get_words(index))))
    names = [name for name, number in detected.most_common() if number >= _MIN_LANGUAGE_SHARE * detected.total()]
    if len(names) < 2:
        return [LANGUAGES[names[0]] if names else default] * count
    languages: list[Language] = []
    for index in range(count):
        language = detect_language(get_words(index))
        if not (language and language.name in names):  # mixed books are usually grouped by language
            language = languages[-1] if languages else LANGUAGES[names[0]]
        languages.append(language)
    return languages
