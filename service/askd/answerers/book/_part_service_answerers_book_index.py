"""Builds the index: tantivy's, in memory, with one writer thread and one segment."""

from collections.abc import Callable
from typing import Final

import tantivy

from service.answerers.book.search import Search
from service.answerers.book.terms import ANALYSERS, PLAIN, WORDS, is_plain, spaced
from service.errors import LoadError

_HEAP: Final = 3 << 30
"""Bytes after which tantivy would begin a second segment: a limit, not an allocation. See `Builder.finish`."""
_PLAIN_LENGTH: Final = 40
"""Characters up to which a question may be one of stop words alone: looking at each word of all takes too long."""


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in ANALYSERS:
        builder.add_text_field(name, stored=False, tokenizer_name=name, index_option="freq")
    return builder.build()


class Builder:
    """Takes up normalised questions in order; one writer thread of tantivy indexes them meanwhile."""

    def __init__(self) -> None:
        self._schema = _schema()
        self._index = tantivy.Index(self._schema)
        for name, analyser in ANALYSERS.items():
            self._index.register_tokenizer(name, analyser)
        self._writer = self._index.writer(_HEAP, 1)
        self._length = 0

    def add(self, normal: str) -> None:
        """Index the next question."""
        text = spaced(normal)
        self._length += text.count(" ") + 1
        field = PLAIN if len(text) < _PLAIN_LENGTH and is_plain(normal) else WORDS
        document = tantivy.Document()
        document.add_text(field, text)
        self._writer.add_document(document)

    def finish(self, question: Callable[[int], str]) -> Search:
        """Make what was added searchable. `question` returns the text of a question by its number.

        With one segment a document's number is the question's, and the outcome never depends on how segments were
        merged. More than one come only with tens of millions of questions. Raises LoadError then.
        """
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._index.reload()
        searcher = self._index.searcher()
        if searcher.num_segments > 1:
            raise LoadError("the book is too large: its index exceeds 3 GiB. Split it over several servers")
        return Search(self._schema, searcher, question, self._length / max(1, searcher.num_docs))
