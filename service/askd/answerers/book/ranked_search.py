"""Ranked search: tantivy's BM25 finds candidates, and `question_similarity` decides whether one is the answer.

A raw BM25 score is not comparable between books, because it grows with the number of entries and words, so it only
selects candidates. The weight of a word is its inverse document frequency relative to that of a word in one question,
so that thresholds mean the same for three entries as for a million.

Every language has a field in the index, and a question is analyzed in each language that the book has. The index is in
memory and consists of one segment, written by one thread. Terms have a fixed order, so that all replicas compute equal
scores; between equal ones the earlier question wins.
"""

import functools
import itertools
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import tantivy

from askd.answerers.book.contradiction import Statement, TermMatch, agree, contradict, find_statement
from askd.answerers.book.languages import LANGUAGES, Language
from askd.answerers.book.packed_storage import PackedEntryStore
from askd.answerers.book.question_similarity import (
    ANSWER_CREDIT,
    LEXICAL_SCORING,
    LIGHT_WORD_FACTOR,
    OTHER_QUESTION_CREDIT,
    AskedQuestion,
    Scoring,
    compare,
    compute_score,
    prepare_question,
)
from askd.answerers.book.text_analysis import (
    PLAIN_ANALYZER,
    STOP_WORDS_FIELD,
    Analysis,
    analyze,
    normalize,
    separate_terms,
)
from askd.errors import LoadError

_MIN_SUGGESTION_SIMILARITY: Final = 0.1
"""Minimum similarity of a suggestion."""
_MIN_TERM_WEIGHT: Final = 0.05
_WEIGHT_DIGITS: Final = 4
"""Digits to which a weight is rounded, because logarithms differ between C libraries in their last bit."""
_MAX_CANDIDATES: Final = 12
_MAX_CACHED_WEIGHTS: Final = 20_000
"""Maximum number of cached term weights: some 4 MB."""
_MAX_CACHED_CANDIDATES: Final = 2_000
"""Maximum number of cached analyses of the book's questions: some 4 MB."""
_MAX_CACHED_CONTEXTS: Final = 1000
"""Maximum number of cached questions and answers of entries: some 4 MB."""
_MAX_CONTEXT_LENGTH: Final = 2000
"""Number of characters of an answer and of the other questions that are searched for words of the question."""
_MAX_QUERY_TERMS: Final = 24
"""Maximum number of terms per search, the rarest first. Limits the time for a question of a thousand characters."""
_COMMON_TERM_QUESTIONS: Final = 1000
"""A term that is in more questions than this may be left out of a search, to save time."""
_MAX_SKIPPED_WEIGHT_SHARE: Final = 0.25
"""Maximum share of a question's total weight that may be left out of a search."""
_MAX_TYPO_TERMS: Final = 3
"""Maximum number of unknown words whose spelling is corrected; each takes up to a millisecond in a large book."""
_MIN_EQUAL_STOP_WORDS: Final = 0.8
"""Minimum share of equal words if a question has only stop words: "how are you" must not match "who are you"."""
_WRITER_HEAP_BYTES: Final = 3 << 30
"""Size at which tantivy would begin a second segment. A limit, not an allocation. See `SearchIndexBuilder.build`."""
_MAX_STOP_WORD_QUESTION_LENGTH: Final = 40
"""Maximum length in characters of a question of stop words only; checking the words of longer questions is too slow."""
_LANGUAGE_LIST: Final = tuple(LANGUAGES.values())
_LANGUAGE_NUMBERS: Final = {name: number for number, name in enumerate(LANGUAGES)}


class Match(NamedTuple):
    """A question of the book that is similar to the asked one."""

    number: int
    """Number of the question."""
    language: Language
    similarity: float
    terms: list[TermMatch]
    """The terms that both questions have."""
    has_equal_terms: bool
    """Whether neither question has a term that the other lacks."""


def sort_matches(matches: Iterable[Match]) -> list[Match]:
    """Return the matches, the most similar first; between equal ones, the earlier question."""
    return sorted(matches, key=lambda match: (-match.similarity, match.number))


class SearchIndex:
    """Immutable search index. Safe to use from any thread; searches let other threads run.

    Args:
        schema: Schema of the index.
        searcher: Searcher of the index.
        store: The questions and answers.
        language_numbers: Number of each question's language.
        repeated_terms: For each language and term, in how many questions it is repeated from the same entry.
        entry_counts: Number of entries by language.
    """

    def __init__(
        self,
        *,
        schema: tantivy.Schema,
        searcher: tantivy.Searcher,
        store: PackedEntryStore,
        language_numbers: "array[int]",
        repeated_terms: Mapping[tuple[str, str], int],
        entry_counts: Mapping[str, int],
    ) -> None:
        self._schema = schema
        self._searcher = searcher
        self._store = store
        self._language_numbers = language_numbers
        self._repeated_terms = repeated_terms
        self._entry_counts = entry_counts
        self._max_idf = {name: _compute_idf(1, total) for name, total in entry_counts.items()}
        self._weight_cache: dict[tuple[str, str], float] = {}
        self._candidate_cache: dict[int, tuple[Analysis, dict[str, float]]] = {}
        self._statement_cache: dict[int, Statement] = {}
        self._context_cache: dict[int, tuple[str, str]] = {}

    def search(self, normalized: str, candidates: Sequence[int] = ()) -> list[Match]:
        """Return questions of the book that are similar to a normalized question, the most similar first.

        Args:
            normalized: The question.
            candidates: Numbers of questions that are compared in any case.
        """
        matches = [
            match
            for name in self._entry_counts
            for match in self._search_language(normalized, LANGUAGES[name], candidates)
        ]
        return sort_matches(matches)

    def select(
        self,
        normalized: str,
        matches: Sequence[Match],
        has_same_answer: Callable[[int, int], bool],
        scoring: Scoring = LEXICAL_SCORING,
    ) -> tuple[int, float] | None:
        """Return the number of the question that is most probably meant, and its score from 0 to 1; None without one.

        Args:
            normalized: The asked question.
            matches: Result of the search for it.
            has_same_answer: Returns whether two questions have the same answer.
            scoring: Constants for the kind of similarity.
        """
        languages = [LANGUAGES[name] for name in self._entry_counts]
        asked_statements = {
            language.name: find_statement(_remove_idioms(normalized, language), language) for language in languages
        }
        opposites: list[Match] = []
        for index, match in enumerate(matches):
            asked, entry = asked_statements[match.language.name], self._find_statement(match)
            if contradict(asked, entry, match.terms):
                opposites.append(match)
                continue
            rivals: Iterable[Match] = itertools.chain(opposites, matches[index + 1 :])
            if agree(asked, entry):  # an opposite of the question is no rival of a match that agrees with it
                rivals = (
                    rival
                    for rival in matches[index + 1 :]
                    if not contradict(asked, self._find_statement(rival), rival.terms)
                )
            # Of several entries with the same words, the first is as good as the others.
            similarities = (
                rival.similarity
                for rival in rivals
                if not (match.has_equal_terms and rival.has_equal_terms)
                and not has_same_answer(rival.number, match.number)
            )
            return match.number, compute_score(match.similarity, next(similarities, 0.0), scoring)
        return None

    def _find_statement(self, match: Match) -> Statement:
        statement = self._statement_cache.get(match.number)
        if statement is None:
            if len(self._statement_cache) >= _MAX_CACHED_CANDIDATES:
                self._statement_cache.clear()
            statement = find_statement(normalize(self._store.get_question(match.number)), match.language)
            self._statement_cache[match.number] = statement
        return statement

    def select_suggestions(self, matches: Iterable[Match]) -> list[int]:
        """Return the numbers of similar questions, the most similar first."""
        return [match.number for match in matches if match.similarity >= _MIN_SUGGESTION_SIMILARITY]

    def _search_language(self, normalized: str, language: Language, candidates: Sequence[int]) -> Iterator[Match]:
        analysis = analyze(_remove_idioms(normalized, language), language)
        field = STOP_WORDS_FIELD if analysis.has_only_stop_words else language.name
        counts = {term: self._searcher.doc_freq(field, term) for term in analysis.terms}
        unknown_terms = [term for term, count in counts.items() if not count]
        question = prepare_question(
            analysis, language, lambda term: self._get_weight(field, term, language), unknown_terms
        )
        for number in dict.fromkeys([*self._find_candidates(field, question, counts), *candidates]):
            if _LANGUAGE_LIST[self._language_numbers[number]] is not language:
                continue
            candidate, weights = self._get_candidate(number, field, language)
            if analysis.has_only_stop_words and not _are_nearly_equal(analysis, candidate):
                continue
            comparison = compare(question, candidate, weights, functools.partial(self._get_credit_elsewhere, number))
            yield Match(number, language, *comparison)

    def _get_weight(self, field: str, term: str, language: Language) -> float:
        """Return the weight of a term, 0 to 1. Cached, because candidates share their common words."""
        weight = self._weight_cache.get((field, term))
        if weight is None:
            if len(self._weight_cache) >= _MAX_CACHED_WEIGHTS:
                self._weight_cache.clear()
            # A word that no entry of the book has weighs as much as one that a single entry has.
            count = self._searcher.doc_freq(field, term) - self._repeated_terms.get((field, term), 0)
            total = self._entry_counts[language.name]
            weight = max(
                _MIN_TERM_WEIGHT,
                round(_compute_idf(max(1, count), total) / self._max_idf[language.name], _WEIGHT_DIGITS),
            )
            if term in language.light_stems or (term.isdecimal() and len(term) == 1):
                weight *= LIGHT_WORD_FACTOR
            self._weight_cache[field, term] = weight
        return weight

    def _find_candidates(self, field: str, question: AskedQuestion, counts: dict[str, int]) -> list[int]:
        """Return the numbers of the questions with the best BM25 scores."""
        alternatives = set(question.analysis.joined)
        for term in question.terms:
            alternatives |= term.synonyms
            if not counts[term.term]:
                alternatives |= self._find_parts(field, term.term)
        for alternative in sorted(alternatives - counts.keys()):
            if count := self._searcher.doc_freq(field, alternative):
                counts[alternative] = count
        query = tantivy.Query
        queries = [
            query.term_query(self._schema, field, term, "freq") for term in self._select_query_terms(question, counts)
        ]
        misspelled = sorted(
            (term for term in question.terms if term.max_typos), key=lambda term: (-len(term.term), term.term)
        )
        queries += [
            query.fuzzy_term_query(self._schema, field, term.term, term.max_typos)
            for term in misspelled[:_MAX_TYPO_TERMS]
        ]
        if not queries:
            return []
        any_query = query.boolean_query([(tantivy.Occur.Should, query) for query in queries])
        return [address.doc for _, address in self._searcher.search(any_query, _MAX_CANDIDATES, count=False).hits]

    def _find_parts(self, field: str, term: str) -> set[str]:
        """Return the known words of which an unknown word may be composed: "wi" and "fi" for "wifi"."""
        for start in range(2, len(term) - 1):
            parts = term[:start], term[start:]
            if all(self._searcher.doc_freq(field, part) for part in parts):
                return set(parts)
        return set()

    def _select_query_terms(self, question: AskedQuestion, counts: dict[str, int]) -> list[str]:
        """Return the terms to search for, the rarest first. Common ones are left out because they are slow."""
        known_terms = sorted((term for term in counts if counts[term]), key=lambda term: (counts[term], term))
        query_terms = known_terms[:_MAX_QUERY_TERMS]
        weights = {term.term: term.weight for term in question.terms}
        skippable_weight = _MAX_SKIPPED_WEIGHT_SHARE * question.total_weight
        while query_terms and counts[query_terms[-1]] > _COMMON_TERM_QUESTIONS:
            skippable_weight -= weights.get(query_terms[-1], 0.0)
            if skippable_weight < 0:
                break
            query_terms.pop()
        return query_terms

    def _get_candidate(self, number: int, field: str, language: Language) -> tuple[Analysis, dict[str, float]]:
        """Return the analysis of a question of the book, and the weights of its terms."""
        candidate = self._candidate_cache.get(number)
        if candidate is None:
            if len(self._candidate_cache) >= _MAX_CACHED_CANDIDATES:
                self._candidate_cache.clear()
            analysis = analyze(normalize(self._store.get_question(number)), language)
            weights = {term: self._get_weight(field, term, language) for term in analysis.terms}
            candidate = self._candidate_cache[number] = analysis, weights
        return candidate

    def _get_credit_elsewhere(self, number: int, term: str) -> float:
        """Return the credit for a term, a stem or a pair of characters, that begins a word elsewhere in the entry."""
        entry = self._store.get_entry_number(number)
        context = self._context_cache.get(entry)
        if context is None:
            if len(self._context_cache) >= _MAX_CACHED_CONTEXTS:
                self._context_cache.clear()
            wordings = self._store.get_wordings(number)
            texts = " ".join(wordings) if len(wordings) > 1 else "", self._store.get_answer(number)
            questions, answer = (f" {normalize(text[:_MAX_CONTEXT_LENGTH])}" for text in texts)
            context = self._context_cache[entry] = questions, answer
        pattern = f" {term}" if term.isascii() else term
        return OTHER_QUESTION_CREDIT if pattern in context[0] else ANSWER_CREDIT if pattern in context[1] else 0.0


def _compute_idf(entry_count: int, total: int) -> float:
    return math.log1p((max(total, entry_count) - entry_count + 0.5) / (entry_count + 0.5))


def _remove_idioms(normalized: str, language: Language) -> str:
    return language.idioms.sub(" ", normalized) if language.idioms else normalized


def _are_nearly_equal(first: Analysis, second: Analysis) -> bool:
    shared_count = len(set(first.terms) & set(second.terms))
    return shared_count >= _MIN_EQUAL_STOP_WORDS * max(len(first.terms), len(second.terms))


class SearchIndexBuilder:
    """Builds a `SearchIndex` from normalized questions, which tantivy indexes in one writer thread."""

    def __init__(self) -> None:
        self._schema = _build_schema()
        self._index = tantivy.Index(self._schema)
        for language in LANGUAGES.values():
            self._index.register_tokenizer(language.name, language.indexer)
        self._index.register_tokenizer(STOP_WORDS_FIELD, PLAIN_ANALYZER)
        self._writer = self._index.writer(_WRITER_HEAP_BYTES, 1)
        self._language_numbers = array("B")
        self._entry_counts = dict.fromkeys(LANGUAGES, 0)
        self._repeated_terms: Counter[tuple[str, str]] = Counter()
        self._entry = -1
        self._entry_text = ""
        self._entry_terms: set[str] | None = None

    def add(self, normalized: str, entry: int, language: Language) -> None:
        """Index the next question. Questions must be added in the order of their numbers."""
        text = separate_terms(normalized)
        is_plain = len(text) < _MAX_STOP_WORD_QUESTION_LENGTH and language.stop_words.issuperset(text.split())
        document = tantivy.Document()
        document.add_text(STOP_WORDS_FIELD if is_plain else language.name, text)
        self._writer.add_document(document)
        self._language_numbers.append(_LANGUAGE_NUMBERS[language.name])
        if entry == self._entry:
            self._count_repeated_terms(text, language)
        else:
            self._entry, self._entry_text, self._entry_terms = entry, text, None
            self._entry_counts[language.name] += 1

    def _count_repeated_terms(self, text: str, language: Language) -> None:
        """Count the terms that a question repeats from an earlier question of the same entry."""
        if self._entry_terms is None:  # terms are only needed for entries with several questions
            self._entry_terms = set(language.indexer.analyze(self._entry_text))
        terms = set(language.indexer.analyze(text))
        self._repeated_terms.update((language.name, term) for term in terms & self._entry_terms)
        self._entry_terms |= terms

    def build(self, store: PackedEntryStore) -> SearchIndex:
        """Return the index of all added questions.

        In a single segment, a document's number equals the question's number, and results do not depend on how segments
        were merged. A second segment is only needed for tens of millions of questions.

        Args:
            store: The questions and answers.

        Raises:
            LoadError: The index needs more than one segment.
        """
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._index.reload()
        searcher = self._index.searcher()
        if searcher.num_segments > 1:
            raise LoadError("the book is too large: its index exceeds 3 GiB: split the book over several servers")
        return SearchIndex(
            schema=self._schema,
            searcher=searcher,
            store=store,
            language_numbers=self._language_numbers,
            repeated_terms=self._repeated_terms,
            entry_counts={name: count for name, count in sorted(self._entry_counts.items()) if count},
        )


def _build_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in (*LANGUAGES, STOP_WORDS_FIELD):
        builder.add_text_field(name, stored=False, tokenizer_name=name, index_option="freq")
    return builder.build()
