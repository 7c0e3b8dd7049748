"""Compares a question with an entry's question, and rates how likely the entry answers it.

The measure is asymmetric (A. Tversky, "Features of similarity", 1977): words of the question that the entry lacks
count fully, words that only the entry has count a little. Words are weighted by their inverse document frequency.
A word that only the answer has counts as half a word.

The score is a logistic function of the similarity and of its lead over the second-best entry. Its constants are
rounded results of a logistic regression over 650 labelled questions to nine books.
"""

import math
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Final, NamedTuple

from askd.answerers.book.contradiction import TermMatch
from askd.answerers.book.languages import Language
from askd.answerers.book.text_analysis import BEGINNING_LENGTH, Analysis

MIN_SCORES: Final = {"exact": math.inf, "strict": 0.85, "normal": 0.72, "eager": 0.5}
"""Minimum score of an answer by the setting `book_match`. The normal one was chosen by leaving out one of nine books in
turn: the lowest with a precision of 0.93 and at most 5 % of the questions out of scope answered."""
_SYNONYM_CREDIT: Final = 0.8
_TYPO_CREDITS: Final = (1.0, 0.9, 0.8)
"""Credit of a word by its number of typos."""
_NEGATED_CREDIT: Final = 0.9
"""Credit of "unsupported" for "supported"; the prefix counts as a negation."""
_PREFIX_CREDIT: Final = 0.6
"""Credit of a word that begins like another, for inflections and compounds that the stemmer does not know."""
_MIN_PREFIX_SHARE: Final = 0.7
LIGHT_WORD_FACTOR: Final = 0.6
"""Weight of a word that says little about the subject, relative to others."""
_NEGATING_PREFIXES: Final = ("un", "non", "dis", "de")
_MIN_NEGATED_LENGTH: Final = 4
_ENTRY_ONLY_WEIGHT: Final = 0.3
"""Weight of a word that only the entry's question has, relative to one that only the asked question has."""
_ANSWER_CREDIT: Final = 0.5
_EVIDENCE_SHARE: Final = 0.6
_FULL_EVIDENCE: Final = 2.0
"""Matched weight that counts as full evidence: two words that only one entry has."""


class Scoring(NamedTuple):
    """Constants of the logistic function from the similarity to the score."""

    slope: float
    midpoint: float
    max_lead: float
    """Maximum lead over the second-best entry that counts."""


LEXICAL_SCORING: Final = Scoring(4.6, 1.15, 0.4)
SEMANTIC_SCORING: Final = Scoring(10.5, 0.83, 0.3)
"""The same for the cosine similarity of embeddings and a share of the lexical similarity."""
LEXICAL_SHARE: Final = 0.2
"""Share of the lexical similarity that is added to the cosine similarity."""


class AskedTerm(NamedTuple):
    """A term of a question from a client, with the terms of other questions that match it."""

    term: str
    weight: float
    """Weight of the term, 0 to 1."""
    max_typos: int
    """Maximum number of typos, 0 if the book has the term."""
    beginning: str
    """The first five characters; empty if the term has fewer."""
    variants: Mapping[str, tuple[float, str]]
    """Other terms with nearly the same meaning: the credit for each, and the side that has a negating prefix."""
    synonyms: frozenset[str]


class AskedQuestion(NamedTuple):
    """A question from a client, prepared for comparisons."""

    analysis: Analysis
    terms: list[AskedTerm]
    total_weight: float


class Comparison(NamedTuple):
    """Result of comparing a question with one of the book."""

    similarity: float
    """0 to 2.1: 1 for equal words, 0.6 for the number of equal words, 0.5 for words that only the answer has."""
    matches: list[TermMatch]
    """The terms that both questions have."""
    has_equal_terms: bool
    """Whether neither question has a term that the other lacks."""


def prepare_question(
    analysis: Analysis, language: Language, get_weight: Callable[[str], float], unknown_terms: Container[str]
) -> AskedQuestion:
    """Return an analyzed question with all that does not depend on the question with which it is compared.

    Args:
        analysis: The question of the client.
        language: The language as which it was analyzed.
        get_weight: Returns the weight of a term, 0 to 1.
        unknown_terms: Terms that no question of the book has; only these may have typos.
    """
    terms = []
    for term in analysis.terms:
        synonyms = language.synonyms.get(term, frozenset())
        variants = {**dict(_find_negations(term)), **dict.fromkeys(synonyms, (_SYNONYM_CREDIT, ""))}
        variants.update({joined: (1.0, "") for joined, parts in analysis.joined.items() if term in parts})
        max_typos = count_max_typos(term) if term in unknown_terms else 0
        beginning = term[:BEGINNING_LENGTH] if len(term) >= BEGINNING_LENGTH else ""
        terms.append(AskedTerm(term, get_weight(term), max_typos, beginning, variants, synonyms))
    return AskedQuestion(analysis, terms, math.fsum(term.weight for term in terms))


def _find_negations(term: str) -> Iterator[tuple[str, tuple[float, str]]]:
    for prefix in _NEGATING_PREFIXES:
        if len(term) >= _MIN_NEGATED_LENGTH:
            yield prefix + term, (_NEGATED_CREDIT, "entry")
        if term.startswith(prefix) and len(term) - len(prefix) >= _MIN_NEGATED_LENGTH:
            yield term.removeprefix(prefix), (_NEGATED_CREDIT, "asked")


def count_max_typos(word: str) -> int:
    """Return how many typos a word may have: 0 below 5 letters, 1 below 9, else 2."""
    return 0 if len(word) < 5 or not word.isalpha() else 1 if len(word) < 9 else 2


def count_typos(first: str, second: str, maximum: int) -> int:
    """Return the Damerau-Levenshtein distance (optimal string alignment), or `maximum` + 1 if it is greater."""
    if abs(len(first) - len(second)) > maximum:
        return maximum + 1
    before: list[int] = []
    previous = list(range(len(second) + 1))
    for row, letter in enumerate(first, 1):
        current = [row]
        for column, other in enumerate(second, 1):
            distance = min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (letter != other))
            if row > 1 and column > 1 and letter == second[column - 2] and first[row - 2] == other:
                distance = min(distance, before[column - 2] + 1)
            current.append(distance)
        if min(current) > maximum:
            return maximum + 1
        before, previous = previous, current
    return previous[-1]


def compare(
    question: AskedQuestion,
    candidate: Analysis,
    weights: Mapping[str, float],
    is_in_answer: Callable[[str], bool],
) -> Comparison:
    """Compare a question with one of the book.

    Args:
        question: The question of the client.
        candidate: The question of the book.
        weights: Weight of each term of the candidate, 0 to 1.
        is_in_answer: Returns whether the entry's answer has a term.
    """
    matches: list[TermMatch] = []
    missing_weights = dict(weights)
    matched_weight = evidence = answer_weight = 0.0
    for term in question.terms:
        match, credit = _match_term(term, candidate)
        if match:
            matches.append(match)
            matched_weight += term.weight * credit
            evidence += credit * max(weights.get(entry_term, 0.0) for entry_term in match.entry)
            for entry_term in match.entry:
                missing_weights[entry_term] = min(
                    missing_weights.get(entry_term, 0.0), (1 - credit) * weights.get(entry_term, 0.0)
                )
        elif is_in_answer(term.term):
            answer_weight += term.weight
    entry_only_weight = sum(missing_weights.values())
    missing_weight = max(0.0, question.total_weight - matched_weight - _ANSWER_CREDIT * answer_weight)
    similarity = (
        matched_weight / (matched_weight + missing_weight + _ENTRY_ONLY_WEIGHT * entry_only_weight)
        + _EVIDENCE_SHARE * min(1.0, evidence / _FULL_EVIDENCE)
        + _ANSWER_CREDIT * answer_weight / question.total_weight
    )
    return Comparison(similarity, matches, len(matches) == len(question.terms) and not entry_only_weight)


def _match_term(asked: AskedTerm, candidate: Analysis) -> tuple[TermMatch | None, float]:
    """Return the matching terms of the candidate, and the credit for them, 0 to 1."""
    if asked.term in candidate.terms:
        return TermMatch(asked.term, (asked.term,)), 1.0
    if asked.term in candidate.joined:
        return TermMatch(asked.term, candidate.joined[asked.term]), 1.0
    if not asked.variants.keys().isdisjoint(candidate.terms):
        credit, side, term = max((*asked.variants[term], term) for term in candidate.terms if term in asked.variants)
        return TermMatch(asked.term, (term,), side), credit
    if asked.max_typos:
        for term in candidate.terms:
            if term[0] not in asked.term[:2]:  # saves most of the comparisons; the first letter is rarely wrong
                continue
            limit = min(asked.max_typos, count_max_typos(term))
            if (typos := count_typos(asked.term, term, limit)) <= limit:
                return TermMatch(asked.term, (term,)), _TYPO_CREDITS[typos]
    if asked.beginning in candidate.beginnings:
        term = candidate.beginnings[asked.beginning]
        length = math.ceil(_MIN_PREFIX_SHARE * max(len(asked.term), len(term)))
        if asked.term[:length] == term[:length]:
            return TermMatch(asked.term, (term,)), _PREFIX_CREDIT
    return None, 0.0


def compute_score(similarity: float, second_similarity: float, scoring: Scoring) -> float:
    """Return the estimated probability, 0 to 1 with two decimals, that the most similar entry is the right one.

    Args:
        similarity: Similarity of the most similar entry.
        second_similarity: Similarity of the second; 0 without one.
        scoring: Constants for the kind of similarity.
    """
    lead = min(similarity - second_similarity, scoring.max_lead)
    return round(1 / (1 + math.exp(-scoring.slope * (similarity + lead - scoring.midpoint))), 2)


def get_min_score(match_mode: str, threshold: float | None) -> float:
    """Return the minimum score of an answer for `book_match`, unless `book_threshold` sets it."""
    return MIN_SCORES[match_mode] if threshold is None else threshold
