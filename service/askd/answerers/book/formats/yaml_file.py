"""YAML books: a list of `{ask: text or [texts], answer: text}`, read event by event.

Events rather than `yaml.load`: they know their lines, show keys that stand twice, leave aliases unexpanded, and let
other threads run in between, which one call into the C parser would not.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import yaml

from service.answerers.book.entries import PIECE, Entry, Fault, Reader, decoded, no_list

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT: Final = "tag:yaml.org,2002:str"
_KINDS: Final = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "empty",
    "timestamp": "a date",
    "merge": "a merge",
    "value": "=",
}

Event: TypeAlias = Any  # the stubs leave out most events' attributes


def read(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in pieces. Raises Fault."""
    entries = (entry for _, entry in _Document(decoded(data)).entries())
    while piece := list(itertools.islice(entries, PIECE)):
        yield piece


def line_of(data: bytes, index: int) -> int:
    """Return the line where the entry begins."""
    return next(itertools.islice(_Document(decoded(data)).entries(), index, None))[0]


class _Document:
    """One parse. Each method takes up the events where the one before it stopped."""

    def __init__(self, text: str) -> None:
        self._events = self._parse(text)
        self._resolver: Any = yaml.resolver.Resolver()
        self._anchored: dict[str, str] = {}

    @staticmethod
    def _parse(text: str) -> Iterator[Event]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as fault:
            mark = fault.problem_mark or fault.context_mark
            what = fault.problem or fault.context or "malformed"
            raise Fault(mark.line + 1 if mark else 1, f"not valid YAML ({what}): mend it there") from None
        except yaml.reader.ReaderError as fault:
            line = text.count("\n", 0, fault.position) + 1
            raise Fault(line, f"the character {fault.character!r} is not allowed in YAML: remove it") from None

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield each entry with its line."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                break
        else:
            return
        first = next(self._events)
        if isinstance(first, yaml.SequenceStartEvent):
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                yield _line(event), self._entry(event)
        elif not (isinstance(first, yaml.ScalarEvent) and not first.value):
            raise Fault(_line(first), no_list("a mapping" if isinstance(first, yaml.MappingStartEvent) else "a text"))
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise Fault(_line(event), "a second document begins: put its entries into the one list, without ---")

    def _entry(self, event: Event) -> Entry:
        if not isinstance(event, yaml.MappingStartEvent):
            raise Fault(_line(event), "this is no entry: an entry has the keys `ask` and `answer`")
        found: dict[str, Any] = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            name = self._text(key, "a key")
            if name not in {"ask", "answer"}:
                raise Fault(_line(key), f"unknown key `{name}`: an entry has the keys `ask` and `answer`")
            if name in found:
                raise Fault(_line(key), f"`{name}` stands twice in one entry: give several texts as a list")
            found[name] = self._value(next(self._events), name)
        for name in ("ask", "answer"):
            if name not in found:
                raise Fault(_line(event), f"the entry has no `{name}`: give it one")
        return Entry(**found)

    def _value(self, event: Event, name: str) -> str | list[str]:
        if name != "ask" or not isinstance(event, yaml.SequenceStartEvent):
            return self._text(event, f"`{name}`")
        texts = []
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            texts.append(self._text(item, "`ask`"))
        return texts

    def _text(self, event: Event, name: str) -> str:
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._anchored:
            return self._anchored[event.anchor]
        if not isinstance(event, yaml.ScalarEvent):
            raise Fault(_line(event), f"{name} is no text: write a text" + (" or a list of texts" * (name == "`ask`")))
        tag = event.tag or self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag != _TEXT:
            kind = _KINDS.get(tag.rpartition(":")[2], "not a text")
            raise Fault(_line(event), f"{name} is {kind}: write a text, in quotes where YAML reads something else")
        if event.anchor:
            self._anchored[event.anchor] = event.value
        return str(event.value)


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1


READER: Final = Reader(read, line_of)
