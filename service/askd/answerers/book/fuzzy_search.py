"""The search for questions that are asked in other words: candidates by tantivy's BM25, then a threshold.

A raw BM25 score says little by itself: it grows with the number of entries and of words. So the threshold is on the
*overlap* of two questions, between 0 and 1: Dice's coefficient over their terms, each weighted by its inverse
document frequency. It means the same for three entries as for a million. Words that no entry has weigh more than any
other, for they say that something else is asked. Among candidates over the threshold the best BM25 wins (Robertson
and Zaragoza, "The Probabilistic Relevance Framework", 2009, k1 and b as in Lucene), worked out here in 64 bits over a
fixed order of terms: equal questions then score equally to the last bit, and the earlier one wins.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import tantivy

from service.answerers.book.normalise import normalise
from service.answerers.book.terms import ANALYSERS, PLAIN, analysed, spaced

THRESHOLD: Final = 0.6
"""Least overlap of an answer. Two content words against one, both known, overlap by 2/3; one unknown, by 0.57 …"""
_STRICT: Final = 0.7
"""… for a question of one content word: what it leaves out must be more common than itself …"""
_STRICTEST: Final = 0.8
"""… and for one of stop words alone: "how are you" is not "who are you"."""
_SUGGEST: Final = 0.15
"""Least overlap of a suggestion."""
_UNKNOWN: Final = 1.5
"""Weight of a word that no entry has, in weights of a word that one entry has."""
_CANDIDATES: Final = 16
_REMEMBERED: Final = 20_000
"""Terms whose weight is remembered: some 4 MB."""
_MOST_TERMS: Final = 24
"""Terms of a question that are searched, the rarest first: bounds the time for a question of a thousand characters."""
_COMMON: Final = 1000
"""Questions in which a term stands before leaving it out of a search is worth while …"""
_SPARE: Final = 0.25
"""… and the share of a question's weight that may be left out."""
_K1: Final = 1.2
_B: Final = 0.75


class Hit(NamedTuple):
    """One candidate."""

    question: int
    score: float
    overlap: float
    answers: bool
    """Whether the overlap is enough for an answer."""


class Search:
    """An index that does not change. Used from any thread; searching lets other threads run."""

    def __init__(
        self,
        schema: tantivy.Schema,
        searcher: tantivy.Searcher,
        question: Callable[[int], str],
        mean_length: float,
    ) -> None:
        self._schema = schema
        self._searcher = searcher
        self._question = question
        self._mean_length = mean_length
        self._documents = searcher.num_docs
        self._idfs: dict[tuple[str, str], float] = {}
        self._unknown = _UNKNOWN * self._idf(1)

    def _idf(self, documents: int) -> float:
        return math.log1p((self._documents - documents + 0.5) / (documents + 0.5))

    def _idf_of(self, field: str, term: str) -> float:
        """Weight of a term of the book; remembered, because candidates share their common words."""
        weight = self._idfs.get((field, term))
        if weight is None:
            if len(self._idfs) >= _REMEMBERED:
                self._idfs.clear()
            weight = self._idfs[field, term] = self._idf(self._searcher.doc_freq(field, term))
        return weight

    def hits(self, normal: str) -> list[Hit]:
        """Return the candidates for a normalised question, the best first."""
        field, terms = analysed(normal)
        counts = {term: self._searcher.doc_freq(field, term) for term in sorted(set(terms))}
        weights = {term: self._idf(count) if count else self._unknown for term, count in counts.items()}
        searched = self._searched(counts, weights)
        queries = [tantivy.Query.term_query(self._schema, field, term, "freq") for term in searched]
        least = _STRICTEST if field == PLAIN else _STRICT if len(weights) == 1 else THRESHOLD
        hits = [self._rated(number, field, weights, least) for number in self._found(queries)]
        return sorted(hits, key=lambda hit: (-hit.score, hit.question))

    def _searched(self, counts: dict[str, int], weights: dict[str, float]) -> list[str]:
        """Return the terms to look for, the rarest first, without the common ones that cost much and tell little.

        What overlaps by THRESHOLD t shares at least t / (2 - t) = 43 % of the weight, so it cannot hide behind 25 %.
        """
        known = sorted((term for term in counts if counts[term]), key=lambda term: (counts[term], term))[:_MOST_TERMS]
        spare = _SPARE * math.fsum(weights.values())
        while known and counts[known[-1]] > _COMMON and weights[known[-1]] <= spare:
            spare -= weights[known.pop()]
        return known

    def answering(self, hits: Iterable[Hit]) -> int | None:
        """Return the question of the best hit over the threshold, None if there is none."""
        return next((hit.question for hit in hits if hit.answers), None)

    def suggested(self, hits: Iterable[Hit], normal: str) -> list[int]:
        """Return questions that may have been meant, the nearest first; without any hit, those a typing slip away."""
        near = sorted(hits, key=lambda hit: (-hit.overlap, -hit.score, hit.question))
        return [hit.question for hit in near if hit.overlap >= _SUGGEST] or self._slips(normal)

    def _slips(self, normal: str) -> list[int]:
        long = sorted({term for term in analysed(normal)[1] if len(term) > 4}, key=lambda term: (-len(term), term))
        fuzzy = tantivy.Query.fuzzy_term_query
        return self._found([fuzzy(self._schema, field, term, 1) for term in long[:3] for field in ANALYSERS])

    def _found(self, queries: Sequence[tantivy.Query]) -> list[int]:
        if not queries:
            return []
        either = tantivy.Query.boolean_query([(tantivy.Occur.Should, query) for query in queries])
        return [place.doc for _, place in self._searcher.search(either, _CANDIDATES, count=False).hits]

    def _rated(self, number: int, field: str, weights: dict[str, float], least: float) -> Hit:
        """Compare one candidate with the question, whose terms have these weights."""
        text = spaced(normalise(self._question(number)))
        terms = ANALYSERS[field].analyze(text)
        norm = _K1 * (1 - _B + _B * (text.count(" ") + 1) / self._mean_length)
        shared = sorted(weights.keys() & set(terms))
        own = [weights[term] if term in weights else self._idf_of(field, term) for term in set(terms)]
        counts = [(weights[term], terms.count(term)) for term in shared]
        score = math.fsum(weight * count * (_K1 + 1) / (count + norm) for weight, count in counts)
        whole = math.fsum(weights.values()) + math.fsum(own)
        overlap = 2 * math.fsum(weight for weight, _ in counts) / whole
        return Hit(number, score, overlap, overlap >= least)
