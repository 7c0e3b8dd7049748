"""Immutable snapshot of a loaded book; a reload replaces the whole snapshot."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from askd.answerers.book.packed_storage import CompactHashTable, PackedEntryStore
from askd.answerers.book.question_similarity import LEXICAL_SCORING, LEXICAL_SHARE, SEMANTIC_SCORING
from askd.answerers.book.ranked_search import SearchIndex, sort_matches
from askd.answerers.book.semantic_search import SemanticIndex, SentenceModel, build_semantic_index
from askd.answerers.book.text_analysis import normalize, normalize_clauses, strip_question_lead
from askd.models import Answer

_MAX_RECENT_ANSWERS: Final = 1024
"""Maximum number of cached exact answers."""
_MAX_RECENT_ANSWER_LENGTH: Final = 4096
"""Maximum length of a cached question and its answer in characters, which limits the cache to some 20 MB."""
_MAX_SUGGESTIONS: Final = 3
_MIN_EXACT_CLAUSE_WORDS: Final = 3
"""Minimum length of a clause that is answered if it equals a question; shorter ones often only name a subject."""
_EXACT_CLAUSE_SCORE: Final = 0.9
_MAX_EXAMPLES: Final = 5


class SimilarQuestions(NamedTuple):
    """Result of a ranked search."""

    answer: Answer | None
    """Answer to the question that is most probably meant, with that question and its score; None without one."""
    score: float
    """Estimated probability, 0 to 1, that this question is the right one; 0 without one."""
    suggestions: list[str]
    """Up to three similar questions as written in the book, the most similar first."""


class BookSnapshot:
    """Answers questions from one version of a book. Safe to use from any thread."""

    def __init__(
        self,
        *,
        store: PackedEntryStore,
        exact_index: CompactHashTable,
        subject_index: CompactHashTable,
        ambiguous_questions: set[int],
        search_index: SearchIndex,
        version: str,
    ) -> None:
        self._store = store
        self._exact_index = exact_index
        self._subject_index = subject_index
        self._ambiguous_questions = ambiguous_questions
        self._search_index = search_index
        self._semantic_index: SemanticIndex | None = None
        self.version = version
        self.recent_answers: dict[str, Answer] = {}
        """Cache of exact answers, by the question as asked; filled by `find_exact`."""

    @property
    def entry_count(self) -> int:
        """Number of answers in the book."""
        return self._store.entry_count

    @property
    def question_count(self) -> int:
        """Number of questions in the book; every wording of an entry counts."""
        return self._store.question_count

    @property
    def examples(self) -> list[str]:
        """The first question of each of the first entries."""
        first_questions: dict[int, str] = {}
        for number in range(self._store.question_count):
            first_questions.setdefault(self._store.get_entry_number(number), self._store.get_question(number))
            if len(first_questions) == _MAX_EXAMPLES:
                break
        return list(first_questions.values())

    def enable_semantic_search(
        self, model: SentenceModel, cache: Path | None, on_progress: Callable[[str], None]
    ) -> None:
        """Compute the vectors of all questions, before the first search. See `build_semantic_index`."""
        self._semantic_index = build_semantic_index(model, self._store, cache, on_progress)

    def find_exact(self, text: str) -> Answer | None:
        """Return the answer to a question that equals one in the book after normalization, or None."""
        number = self._find_exact_number(normalize(text))
        if number is None:
            return None
        answer = Answer(self._store.get_answer(number), self._store.get_fields(number))
        if len(text) + len(answer.text) + 64 * len(answer.fields) <= _MAX_RECENT_ANSWER_LENGTH:
            if len(self.recent_answers) >= _MAX_RECENT_ANSWERS:
                self.recent_answers.clear()
            self.recent_answers[text] = answer
        return answer

    def _find_exact_number(self, normalized: str) -> int | None:
        """Find an equal question; otherwise one that is equal without a lead such as "define".

        Without the lead, a question matches only if all matching entries have the same answer.
        """
        exact_match = self._exact_index.find(normalized)
        if exact_match is not None:
            return exact_match
        subject = strip_question_lead(normalized)
        bare_match = self._exact_index.find(subject) if subject != normalized else None
        subject_match = self._subject_index.find(subject)
        if subject_match is None:
            return bare_match
        if subject_match in self._ambiguous_questions:
            return None
        if bare_match is not None and not self._store.has_same_answer(subject_match, bare_match):
            return None
        return subject_match

    def find_similar(self, text: str) -> SimilarQuestions:
        """Return the question that is most probably meant, and similar ones."""
        normalized = normalize_clauses(text)
        number = self._find_exact_clause(normalized)
        if number is not None:
            return self._answer_similar(number, _EXACT_CLAUSE_SCORE, [self._store.get_question(number)])
        scoring, index = LEXICAL_SCORING, self._semantic_index
        if index is None:
            matches = self._search_index.search(normalized)
        else:
            scoring, cosines = SEMANTIC_SCORING, index.compute_cosines(text)
            lexical = self._search_index.search(normalized, index.select_candidates(cosines))
            matches = sort_matches(
                match._replace(similarity=float(cosines[match.number]) + LEXICAL_SHARE * match.similarity)
                for match in lexical
            )
        best = self._search_index.select(normalized, matches, self._store.has_same_answer, scoring)
        suggestions: dict[int, str] = {}
        for number in self._search_index.select_suggestions(matches):
            if len(suggestions) < _MAX_SUGGESTIONS:
                suggestions.setdefault(self._store.get_entry_number(number), self._store.get_question(number))
        if best is None:
            return SimilarQuestions(None, 0.0, list(suggestions.values()))
        return self._answer_similar(*best, list(suggestions.values()))

    def _answer_similar(self, number: int, score: float, suggestions: list[str]) -> SimilarQuestions:
        fields = {**self._store.get_fields(number), "question": self._store.get_question(number), "score": score}
        return SimilarQuestions(Answer(self._store.get_answer(number), fields), score, suggestions)

    def _find_exact_clause(self, clauses: str) -> int | None:
        """Return the only question that equals one of several clauses, as in "I see this. What is a health check?"."""
        lines = clauses.split("\n")
        if len(lines) < 2:
            return None
        numbers = [self._find_exact_number(line) for line in lines if len(line.split()) >= _MIN_EXACT_CLAUSE_WORDS]
        found = [number for number in numbers if number is not None]
        is_single = found and all(self._store.has_same_answer(found[0], number) for number in found)
        return found[0] if is_single else None
