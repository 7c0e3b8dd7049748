"""Fuzzy search: tantivy's BM25 finds candidates, and a threshold on their similarity decides.

A raw BM25 score is not comparable between books, because it grows with the number of entries and words. So the
threshold applies to the *overlap* of two questions, between 0 and 1: Dice's coefficient over their terms, each weighted
by its inverse document frequency (IDF). It means the same for three entries as for a million. Words that are in no
entry weigh more than any other, because they show that the question is about something else.

The candidate over the threshold with the best BM25 score wins (Robertson and Zaragoza, "The Probabilistic Relevance
Framework", 2009, with k1 and b as in Lucene). Scores are computed here, in 64 bits and over terms in a fixed order, so
that equal questions have exactly equal scores; the earlier question then wins.

The index is in memory and consists of one segment, written by one thread.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import tantivy

from askd.answerers.book.text_analysis import (
    ANALYZERS,
    CONTENT_WORDS_FIELD,
    STOP_WORDS_FIELD,
    analyze,
    has_only_stop_words,
    normalize,
    separate_terms,
)
from askd.errors import LoadError

MIN_ANSWER_OVERLAP: Final = 0.6
"""Minimum overlap of an answer. Two content words against one overlap by 2/3; by 0.57 if one of them is unknown."""
_MIN_OVERLAP_ONE_TERM: Final = 0.7
"""The same for a question of one content word: the other question may only add words that are more common."""
_MIN_OVERLAP_STOP_WORDS: Final = 0.8
"""The same for a question of stop words only: "how are you" must not match "who are you"."""
_MIN_SUGGESTION_OVERLAP: Final = 0.15
"""Minimum overlap of a suggestion."""
_UNKNOWN_TERM_FACTOR: Final = 1.5
"""Weight of a word that is in no entry, relative to a word that is in one entry."""
_MAX_CANDIDATES: Final = 16
_MAX_CACHED_IDFS: Final = 20_000
"""Maximum number of cached term weights: some 4 MB."""
_MAX_QUERY_TERMS: Final = 24
"""Maximum number of terms per search, the rarest first. Limits the time for a question of a thousand characters."""
_COMMON_TERM_QUESTIONS: Final = 1000
"""A term that is in more questions than this may be left out of a search, to save time."""
_MAX_SKIPPED_WEIGHT_SHARE: Final = 0.25
"""Maximum share of a question's total weight that may be left out of a search."""
_BM25_K1: Final = 1.2
_BM25_B: Final = 0.75
_WRITER_HEAP_BYTES: Final = 3 << 30
"""Size at which tantivy would begin a second segment. A limit, not an allocation. See `FuzzyIndexBuilder.build`."""
_MAX_STOP_WORD_QUESTION_LENGTH: Final = 40
"""Maximum length in characters of a question of stop words only; checking the words of longer questions is too slow."""


class Hit(NamedTuple):
    """A candidate for the answer."""

    question_number: int
    score: float
    overlap: float
    is_answer: bool
    """Whether the overlap is high enough for an answer."""


class FuzzyIndex:
    """Immutable search index. Safe to use from any thread; searches let other threads run.

    Args:
        schema: Schema of the index.
        searcher: Searcher of the index.
        get_question: Returns the text of a question by its number.
        mean_question_length: Mean number of terms per question, for BM25.
    """

    def __init__(
        self,
        schema: tantivy.Schema,
        searcher: tantivy.Searcher,
        get_question: Callable[[int], str],
        mean_question_length: float,
    ) -> None:
        self._schema = schema
        self._searcher = searcher
        self._get_question = get_question
        self._mean_question_length = mean_question_length
        self._question_count = searcher.num_docs
        self._idf_cache: dict[tuple[str, str], float] = {}
        self._unknown_term_weight = _UNKNOWN_TERM_FACTOR * self._compute_idf(1)

    def _compute_idf(self, question_count: int) -> float:
        return math.log1p((self._question_count - question_count + 0.5) / (question_count + 0.5))

    def _get_term_idf(self, field: str, term: str) -> float:
        """Return the weight of a term of the book. Cached, because candidates share their common words."""
        weight = self._idf_cache.get((field, term))
        if weight is None:
            if len(self._idf_cache) >= _MAX_CACHED_IDFS:
                self._idf_cache.clear()
            weight = self._idf_cache[field, term] = self._compute_idf(self._searcher.doc_freq(field, term))
        return weight

    def search(self, normalized: str) -> list[Hit]:
        """Return the candidates for a normalized question, the best first."""
        field, terms = analyze(normalized)
        counts = {term: self._searcher.doc_freq(field, term) for term in sorted(set(terms))}
        weights = {
            term: self._compute_idf(count) if count else self._unknown_term_weight for term, count in counts.items()
        }
        if field == STOP_WORDS_FIELD:
            min_overlap = _MIN_OVERLAP_STOP_WORDS
        elif len(weights) == 1:
            min_overlap = _MIN_OVERLAP_ONE_TERM
        else:
            min_overlap = MIN_ANSWER_OVERLAP
        query_terms = self._select_query_terms(counts, weights)
        queries = [tantivy.Query.term_query(self._schema, field, term, "freq") for term in query_terms]
        hits = [self._score_candidate(number, field, weights, min_overlap) for number in self._run_queries(queries)]
        return sorted(hits, key=lambda hit: (-hit.score, hit.question_number))

    def _select_query_terms(self, counts: dict[str, int], weights: dict[str, float]) -> list[str]:
        """Return the terms to search for, the rarest first. Leaves out common terms: they are slow and rarely matter.

        This loses no answer: a question that overlaps by `MIN_ANSWER_OVERLAP` t shares at least t / (2 - t) = 43 % of
        the weight, and at most 25 % is left out.
        """
        known_terms = sorted((term for term in counts if counts[term]), key=lambda term: (counts[term], term))
        query_terms = known_terms[:_MAX_QUERY_TERMS]
        skippable_weight = _MAX_SKIPPED_WEIGHT_SHARE * math.fsum(weights.values())
        while (
            query_terms
            and counts[query_terms[-1]] > _COMMON_TERM_QUESTIONS
            and weights[query_terms[-1]] <= skippable_weight
        ):
            skippable_weight -= weights[query_terms.pop()]
        return query_terms

    def select_answer(self, hits: Iterable[Hit]) -> int | None:
        """Return the question number of the best hit over the threshold, or None."""
        return next((hit.question_number for hit in hits if hit.is_answer), None)

    def select_suggestions(self, hits: Iterable[Hit], normalized: str) -> list[int]:
        """Return the numbers of similar questions, the most similar first; otherwise those with a typo."""
        by_overlap = sorted(hits, key=lambda hit: (-hit.overlap, -hit.score, hit.question_number))
        suggestions = [hit.question_number for hit in by_overlap if hit.overlap >= _MIN_SUGGESTION_OVERLAP]
        return suggestions or self._find_typo_matches(normalized)

    def _find_typo_matches(self, normalized: str) -> list[int]:
        long_terms = sorted(
            {term for term in analyze(normalized)[1] if len(term) > 4}, key=lambda term: (-len(term), term)
        )
        fuzzy_query = tantivy.Query.fuzzy_term_query
        return self._run_queries(
            [fuzzy_query(self._schema, field, term, 1) for term in long_terms[:3] for field in ANALYZERS]
        )

    def _run_queries(self, queries: Sequence[tantivy.Query]) -> list[int]:
        if not queries:
            return []
        any_query = tantivy.Query.boolean_query([(tantivy.Occur.Should, query) for query in queries])
        return [address.doc for _, address in self._searcher.search(any_query, _MAX_CANDIDATES, count=False).hits]

    def _score_candidate(self, number: int, field: str, weights: dict[str, float], min_overlap: float) -> Hit:
        """Compare a candidate with the question, whose terms have these weights."""
        text = separate_terms(normalize(self._get_question(number)))
        terms = ANALYZERS[field].analyze(text)
        length_norm = _BM25_K1 * (1 - _BM25_B + _BM25_B * (text.count(" ") + 1) / self._mean_question_length)
        shared_terms = sorted(weights.keys() & set(terms))
        candidate_weights = [
            weights[term] if term in weights else self._get_term_idf(field, term) for term in set(terms)
        ]
        shared = [(weights[term], terms.count(term)) for term in shared_terms]
        score = math.fsum(weight * count * (_BM25_K1 + 1) / (count + length_norm) for weight, count in shared)
        total_weight = math.fsum(weights.values()) + math.fsum(candidate_weights)
        overlap = 2 * math.fsum(weight for weight, _ in shared) / total_weight
        return Hit(number, score, overlap, overlap >= min_overlap)


class FuzzyIndexBuilder:
    """Builds a `FuzzyIndex` from normalized questions, which tantivy indexes in one writer thread."""

    def __init__(self) -> None:
        self._schema = _build_schema()
        self._index = tantivy.Index(self._schema)
        for name, analyzer in ANALYZERS.items():
            self._index.register_tokenizer(name, analyzer)
        self._writer = self._index.writer(_WRITER_HEAP_BYTES, 1)
        self._term_count = 0

    def add(self, normalized: str) -> None:
        """Index the next question. Questions must be added in the order of their numbers."""
        text = separate_terms(normalized)
        self._term_count += text.count(" ") + 1
        field = (
            STOP_WORDS_FIELD
            if len(text) < _MAX_STOP_WORD_QUESTION_LENGTH and has_only_stop_words(normalized)
            else CONTENT_WORDS_FIELD
        )
        document = tantivy.Document()
        document.add_text(field, text)
        self._writer.add_document(document)

    def build(self, get_question: Callable[[int], str]) -> FuzzyIndex:
        """Return the index of all added questions.

        In a single segment, a document's number equals the question's number, and results do not depend on how segments
        were merged. A second segment is only needed for tens of millions of questions.

        Args:
            get_question: Returns the text of a question by its number.

        Raises:
            LoadError: The index needs more than one segment.
        """
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._index.reload()
        searcher = self._index.searcher()
        if searcher.num_segments > 1:
            raise LoadError("the book is too large: its index exceeds 3 GiB: split the book over several servers")
        return FuzzyIndex(self._schema, searcher, get_question, self._term_count / max(1, searcher.num_docs))


def _build_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in ANALYZERS:
        builder.add_text_field(name, stored=False, tokenizer_name=name, index_option="freq")
    return builder.build()
