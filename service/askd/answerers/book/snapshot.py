"""One version of a book, complete and unchanging: what a reload swaps as a whole."""

from typing import Final

from service.answerers.book.lookup import Lookup
from service.answerers.book.normalise import bare, normalise
from service.answerers.book.search import Search
from service.answerers.book.store import Store
from service.errors import NoAnswer
from service.models import Answer

_RECENT: Final = 1024
"""Exact answers kept as objects, by the question as asked …"""
_RECENT_LENGTH: Final = 4096
"""… unless longer than so many characters: together at most some 20 MB."""
_SUGGESTIONS: Final = 3
_EXAMPLES: Final = 5


class Edition:
    """Answers from one version of the book, from any thread."""

    def __init__(
        self, *, store: Store, exact: Lookup, stripped: Lookup, ambiguous: set[int], search: Search, version: str
    ) -> None:
        self._store = store
        self._exact = exact
        self._stripped = stripped
        self._ambiguous = ambiguous
        self._search = search
        self.version = version
        self.recent: dict[str, Answer] = {}
        """Answers by question as asked, filled by `exact`: the path that `hello` takes."""

    @property
    def entries(self) -> int:
        """How many answers the book has."""
        return self._store.entries

    @property
    def questions(self) -> int:
        """How many questions the book has, counting each way of asking."""
        return self._store.questions

    @property
    def examples(self) -> list[str]:
        """The first way of asking of the first entries."""
        firsts: dict[int, str] = {}
        for number in range(self._store.questions):
            firsts.setdefault(self._store.entry(number), self._store.question(number))
            if len(firsts) == _EXAMPLES:
                break
        return list(firsts.values())

    def exact(self, text: str) -> Answer | None:
        """Return the answer to a question that is in the book, up to normalisation."""
        number = self._number(normalise(text))
        if number is None:
            return None
        answer = Answer(self._store.answer(number))
        if len(text) + len(answer.text) <= _RECENT_LENGTH:
            if len(self.recent) >= _RECENT:
                self.recent.clear()
            self.recent[text] = answer
        return answer

    def _number(self, normal: str) -> int | None:
        """Return the question that is equal, else the one that is without its "what is", if just one entry is."""
        number = self._exact.find(normal)
        if number is not None:
            return number
        subject = bare(normal)
        direct = self._exact.find(subject) if subject != normal else None
        number = self._stripped.find(subject)
        if number is None or number in self._ambiguous:
            return direct if number is None else None
        return number if direct is None or self._store.same(number, direct) else None

    def fuzzy(self, text: str) -> Answer:
        """Return the answer to the nearest question. Raises NoAnswer, with suggestions as written in the book."""
        normal = normalise(text)
        hits = self._search.hits(normal)
        number = self._search.answering(hits)
        if number is not None:
            return Answer(self._store.answer(number))
        entries: dict[int, str] = {}
        for near in self._search.suggested(hits, normal):
            if len(entries) < _SUGGESTIONS:
                entries.setdefault(self._store.entry(near), self._store.question(near))
        raise NoAnswer(list(entries.values()))
