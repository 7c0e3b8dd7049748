"""Compares a client's question with a question of the book, and rates how likely its entry answers it.

A book is a list of entries; each has an answer and one or more questions. A term is the stem of a word. A
conversational term ("please", "how") frames the question, and a light term ("use") says little about its subject.

The measure is asymmetric (A. Tversky, "Features of similarity", 1977): a term that only the client's question has
lowers the similarity by its full weight, one that only the book's question has by 0.3 of its weight. The weight is the
inverse document frequency. A term in the answer or in another question of the entry lowers it less. A question of
several clauses is also compared by each clause, with less weight for the others, because people tell what happened
before they ask.

The score is a logistic function of the similarity and of its lead over the second-best entry. Its constants are
rounded results of a logistic regression over 650 labelled questions to nine books. Weights by the frequency of words
in general English did not improve the results.
"""

import functools
import itertools
import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from askd.answerers.book.contradiction import TermMatch
from askd.answerers.book.languages import Language
from askd.answerers.book.text_analysis import BEGINNING_LENGTH, Analysis
from askd.answerers.book.typos import count_max_typos, count_typos

MIN_SCORES: Final = {"exact": math.inf, "strict": 0.85, "normal": 0.75, "eager": 0.5}
"""Minimum score of an answer by the setting `book_match`. No score is enough for `exact`: then only equal questions are
answered. The value of `normal` is the lowest with a precision of 0.93 and at most 5 % of the out-of-scope questions
answered, chosen by leaving out one of nine books in turn. Semantic search uses the same values. With 0.75 it answers
one of 40 out-of-scope questions to four books; 0.9 would avoid that, but lower the recall from 0.81 to 0.73."""
_SYNONYM_CREDIT: Final = 0.8
_TYPO_CREDITS: Final = (1.0, 0.9, 0.8)
"""Credit of a word by its number of typos."""
_NEGATED_CREDIT: Final = 0.9
"""Credit of "unsupported" for "supported": the same subject. `contradiction` then compares the negations."""
_PREFIX_CREDIT: Final = 0.6
"""Credit of a word that begins like another, for inflections and compounds that the stemmer does not know."""
_MIN_PREFIX_SHARE: Final = 0.7
"""Minimum share of the longer word that both have in common from their beginning."""
LIGHT_WORD_FACTOR: Final = 0.6
"""Weight of a word that says little about the subject, relative to others."""
_CONVERSATIONAL_FACTOR: Final = 0.15
"""Weight of a conversational word that the book does not know, relative to that of other unknown words."""
_UNKNOWN_DETAIL_FACTOR: Final = 0.4
"""Weight of an unknown number or light word, relative to that of other unknown words. A number that differs from the
entry's is a contradiction anyway."""
_OTHER_CLAUSE_FACTOR: Final = 0.35
"""Weight of the words of the other clauses when one clause of a question is compared."""
_MAX_CLAUSES: Final = 6
_NEGATING_PREFIXES: Final = ("un", "non", "dis", "de")
_MIN_NEGATED_LENGTH: Final = 4
_ENTRY_ONLY_WEIGHT: Final = 0.3
"""Weight of a word that only the entry's question has, relative to one that only the asked question has."""
ANSWER_CREDIT: Final = 0.5
"""Credit of a word that only the answer has."""
OTHER_QUESTION_CREDIT: Final = 0.85
"""Credit of a word that only another question of the same entry has."""
_EQUAL_TERMS_BONUS: Final = 0.3
"""Added if both questions have equal terms, see `Comparison.has_equal_terms`."""
_EQUAL_CLAUSE_BONUS: Final = 0.2
"""Added if one clause of the client's question has equal terms."""
_MAX_EQUAL_WEIGHT: Final = 0.2
"""Weight of the terms that only the book's question has, from which on two questions do not have equal terms."""
_OTHER_QUESTION_EVIDENCE: Final = 0.5
"""Share of the weight that counts as evidence if a term is in another question of the same entry."""
_EVIDENCE_SHARE: Final = 0.6
"""Similarity that full evidence adds."""
_FULL_EVIDENCE: Final = 2.0
"""Matched weight that counts as full evidence: two words that only one entry has."""


class Scoring(NamedTuple):
    """Constants of the logistic function from the similarity to the score."""

    slope: float
    midpoint: float
    max_lead: float
    """Maximum lead over the second-best entry that counts."""


LEXICAL_SCORING: Final = Scoring(4.6, 1.15, 0.4)
SEMANTIC_SCORING: Final = Scoring(10.5, 0.815, 0.3)
"""The same for the cosine similarity of embeddings and a share of the lexical similarity."""
LEXICAL_SHARE: Final = 0.2
"""Share of the lexical similarity that is added to the cosine similarity."""


class AskedTerm(NamedTuple):
    """A term of a question from a client, with the terms of other questions that match it."""

    term: str
    weight: float
    """Weight of the term, 0 to 1."""
    missing_weight: float
    """The same if the entry lacks the term."""
    is_conversational: bool
    """Whether the term frames the question rather than naming its subject."""
    word: str
    """The word of the question whose stem the term is."""
    max_typos: int
    """Maximum number of typos; 0 if the book has the term, or if it is conversational."""
    beginning: str
    """The first five characters; empty if the term has fewer."""
    variants: Mapping[str, tuple[float, str]]
    """Other terms for the same subject (synonyms, negated and joined words): the credit for each, and which side has a
    negating prefix, "asked", "entry" or ""."""
    synonyms: frozenset[str]
    """Those of the variants that are synonyms, for which the book is searched too."""


class AskedQuestion(NamedTuple):
    """A question from a client, prepared for comparisons."""

    analysis: Analysis
    terms: list[AskedTerm]
    total_weight: float
    """Sum of the missing weights of the terms."""
    clause_factors: list[list[float]]
    """For each clause, a factor of each term: 1 within the clause, less outside; empty for a single clause."""


_TermParts: TypeAlias = tuple[float, float, float]
"""Weight of a term: matched, missing, and elsewhere (in the answer or in another question of the entry)."""


class Comparison(NamedTuple):
    """Result of comparing a question with one of the book."""

    similarity: float
    """0 to about 2.5: up to 1.85 for the shares (`_compute_share`), up to 0.6 for the weight that matches (evidence),
    and a bonus of 0.3 or 0.2 if all terms, or those of one clause, match."""
    matches: list[TermMatch]
    """The terms that both questions have."""
    has_equal_terms: bool
    """Whether each term of the client's question matches, except conversational ones, and hardly any weight of the
    book's question is unmatched."""


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
        weight = missing_weight = get_weight(term)
        word = analysis.words.get(term, term)
        is_unknown = term in unknown_terms
        is_conversational = term in language.conversational_stems or (is_unknown and language.is_misspelled_frame(word))
        if is_unknown and is_conversational:
            missing_weight *= _CONVERSATIONAL_FACTOR
        elif is_unknown and (term in language.light_stems or term.isdecimal()):
            missing_weight *= _UNKNOWN_DETAIL_FACTOR
        synonyms = language.synonyms.get(term, frozenset())
        variants = {**_find_negations(term), **dict.fromkeys(synonyms, (_SYNONYM_CREDIT, ""))}
        variants.update({joined: (1.0, "") for joined, parts in analysis.joined.items() if term in parts})
        max_typos = count_max_typos(word) if is_unknown and not is_conversational else 0
        beginning = term[:BEGINNING_LENGTH] if len(term) >= BEGINNING_LENGTH else ""
        terms.append(
            AskedTerm(term, weight, missing_weight, is_conversational, word, max_typos, beginning, variants, synonyms)
        )
    clause_factors = [
        [1.0 if term.term in clause else _OTHER_CLAUSE_FACTOR for term in terms]
        for clause in analysis.clauses[:_MAX_CLAUSES]
    ]
    return AskedQuestion(analysis, terms, math.fsum(term.missing_weight for term in terms), clause_factors)


@functools.lru_cache(maxsize=4096)
def _find_negations(term: str) -> dict[str, tuple[float, str]]:
    negations = {}
    for prefix in _NEGATING_PREFIXES:
        if len(term) >= _MIN_NEGATED_LENGTH:
            negations[prefix + term] = (_NEGATED_CREDIT, "entry")
        if term.startswith(prefix) and len(term) - len(prefix) >= _MIN_NEGATED_LENGTH:
            negations[term.removeprefix(prefix)] = (_NEGATED_CREDIT, "asked")
    return negations


def compare(
    question: AskedQuestion,
    candidate: Analysis,
    weights: Mapping[str, float],
    get_credit_elsewhere: Callable[[str], float],
) -> Comparison:
    """Compare a question with one of the book.

    Args:
        question: The question of the client.
        candidate: The question of the book.
        weights: Weight of each term of the candidate, 0 to 1.
        get_credit_elsewhere: Returns OTHER_QUESTION_CREDIT or ANSWER_CREDIT for a term that only the rest of the entry
            has, otherwise 0.
    """
    matches: list[TermMatch] = []
    parts: list[_TermParts] = []
    entry_only_weights = dict(weights)
    evidence = 0.0
    has_equal_terms = True
    for term in question.terms:
        match, credit = _match_term(term, candidate, weights)
        if match:
            matches.append(match)
            rest = 1 - credit  # a match with a credit of 0.8 counts as 0.8 matched and 0.2 missing, on both sides
            evidence += credit * max([weights.get(entry_term, 0.0) for entry_term in match.entry])
            for entry_term in match.entry:
                rest_weight = rest * weights.get(entry_term, 0.0)
                if rest_weight < entry_only_weights.get(entry_term, 0.0):
                    entry_only_weights[entry_term] = rest_weight
            parts.append((credit * term.weight, rest * term.missing_weight, 0.0))
        elif term.is_conversational:
            parts.append((0.0, term.missing_weight, 0.0))
        else:
            has_equal_terms = False
            credit = get_credit_elsewhere(term.term)
            parts.append((0.0, (1 - credit) * term.missing_weight, credit * term.missing_weight))
            if credit == OTHER_QUESTION_CREDIT:
                evidence += _OTHER_QUESTION_EVIDENCE * term.weight
    entry_only_weight = sum(entry_only_weights.values())
    has_equal_terms = has_equal_terms and entry_only_weight < _MAX_EQUAL_WEIGHT
    share = _compute_share(parts, entry_only_weight) + (_EQUAL_TERMS_BONUS if has_equal_terms else 0.0)
    if question.clause_factors and matches:
        asked_matches = {match.asked for match in matches}
        for factors in question.clause_factors:
            bonus = 0.0
            if entry_only_weight < _MAX_EQUAL_WEIGHT and _has_equal_clause(question.terms, factors, asked_matches):
                bonus = _EQUAL_CLAUSE_BONUS
            share = max(share, _compute_share(parts, entry_only_weight, factors) + bonus)
    evidence_share = _EVIDENCE_SHARE * min(1.0, evidence / _FULL_EVIDENCE)
    return Comparison(share + evidence_share, matches, has_equal_terms)


def _compute_share(
    parts: Sequence[_TermParts], entry_only_weight: float, factors: Sequence[float] | None = None
) -> float:
    """Return the share of the weight that matches, plus the share that is elsewhere in the entry.

    The sum may exceed 1, because the first share leaves out what is elsewhere.
    """
    matched = missing = elsewhere = 0.0
    for (term_matched, term_missing, term_elsewhere), factor in zip(
        parts, factors or itertools.repeat(1.0), strict=False
    ):
        matched += factor * term_matched
        missing += factor * term_missing
        elsewhere += factor * term_elsewhere
    total = matched + missing + elsewhere
    share = matched / (matched + missing + _ENTRY_ONLY_WEIGHT * entry_only_weight) if matched else 0.0
    return share + (elsewhere / total if elsewhere else 0.0)


def _has_equal_clause(terms: Sequence[AskedTerm], factors: Sequence[float], asked_matches: Container[str]) -> bool:
    """Return whether at least one term of the clause matches, and each that is not conversational does."""
    inside = [term for term, factor in zip(terms, factors, strict=True) if factor == 1]
    found = [term.term in asked_matches for term in inside]
    return any(found) and all(is_found or term.is_conversational for term, is_found in zip(inside, found, strict=True))


def _match_term(asked: AskedTerm, candidate: Analysis, weights: Mapping[str, float]) -> tuple[TermMatch | None, float]:
    """Return the matching terms of the candidate, and the credit for them, 0 to 1."""
    if asked.term in weights:
        return TermMatch(asked.term, (asked.term,)), 1.0
    if asked.term in candidate.joined:
        return TermMatch(asked.term, candidate.joined[asked.term]), 1.0
    variants = asked.variants
    if variants and not variants.keys().isdisjoint(weights):
        credit, side, term = max((*variants[term], term) for term in weights if term in variants)
        return TermMatch(asked.term, (term,), side), credit
    if asked.max_typos:
        for term in candidate.terms:
            if (
                term[0] not in asked.term[:2]
            ):  # saves most comparisons; a first letter may be missing or swapped, but is rarely wrong
                continue
            word = candidate.words.get(term, term)  # one typo can change several letters of the stem
            limit = min(asked.max_typos, count_max_typos(word))
            typos = min(count_typos(asked.term, term, limit), count_typos(asked.word, word, limit))
            if typos <= limit:
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
