"""YAML books: a list of `{ask: text or [texts], answer: text}`, read event by event.

`yaml.load` is not used because events have line numbers, show duplicate keys, do not expand aliases, and let other
threads run in between, which a single call of the C parser would not.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import yaml

from askd.answerers.book.formats import (
    BATCH_SIZE,
    BookFormatError,
    Entry,
    FormatReader,
    decode_utf8,
    not_a_list_message,
)

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAG: Final = "tag:yaml.org,2002:str"
_TYPE_NAMES: Final = {
    "int": "a number",
    "float": "a number",
    "bool": "a boolean",
    "null": "empty",
    "timestamp": "a date",
    "merge": "a merge key",
    "value": "a default value key",
}

YamlEvent: TypeAlias = Any  # the type stubs lack most attributes of events


def read_entries(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in batches. Raises BookFormatError."""
    entries = (entry for _, entry in _DocumentParser(decode_utf8(data)).parse_entries())
    while batch := list(itertools.islice(entries, BATCH_SIZE)):
        yield batch


def find_entry_line(data: bytes, index: int) -> int:
    """Return the line where the entry begins."""
    return next(itertools.islice(_DocumentParser(decode_utf8(data)).parse_entries(), index, None))[0]


class _DocumentParser:
    """Parser of one file. Its methods share the stream of events."""

    def __init__(self, text: str) -> None:
        self._events = self._parse_events(text)
        self._resolver: Any = yaml.resolver.Resolver()
        self._text_by_anchor: dict[str, str] = {}

    @staticmethod
    def _parse_events(text: str) -> Iterator[YamlEvent]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            reason = error.problem or error.context or "malformed"
            line = mark.line + 1 if mark else 1
            raise BookFormatError(line, f"not valid YAML ({reason}): fix the syntax") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise BookFormatError(
                line, f"the character {error.character!r} is not allowed in YAML: remove it"
            ) from None

    def parse_entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield each entry with its line."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                break
        else:
            return
        root = next(self._events)
        if isinstance(root, yaml.SequenceStartEvent):
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                yield _line_number(event), self._parse_entry(event)
        elif not (isinstance(root, yaml.ScalarEvent) and not root.value):
            raise BookFormatError(
                _line_number(root),
                not_a_list_message("a mapping" if isinstance(root, yaml.MappingStartEvent) else "a scalar"),
            )
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise BookFormatError(
                    _line_number(event), "the file has a second document: move its entries to the first and remove ---"
                )

    def _parse_entry(self, event: YamlEvent) -> Entry:
        if not isinstance(event, yaml.MappingStartEvent):
            raise BookFormatError(_line_number(event), "not an entry: an entry has the keys `ask` and `answer`")
        fields: dict[str, Any] = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            name = self._parse_text(key, "a key")
            if name not in {"ask", "answer"}:
                raise BookFormatError(
                    _line_number(key), f"unknown key `{name}`: an entry has the keys `ask` and `answer`"
                )
            if name in fields:
                raise BookFormatError(
                    _line_number(key), f"duplicate key `{name}` in one entry: write several texts as a list"
                )
            fields[name] = self._parse_value(next(self._events), name)
        for name in ("ask", "answer"):
            if name not in fields:
                raise BookFormatError(_line_number(event), f"the entry lacks `{name}`: add it")
        return Entry(**fields)

    def _parse_value(self, event: YamlEvent, name: str) -> str | list[str]:
        if name != "ask" or not isinstance(event, yaml.SequenceStartEvent):
            return self._parse_text(event, f"`{name}`")
        texts = []
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            texts.append(self._parse_text(item, "`ask`"))
        return texts

    def _parse_text(self, event: YamlEvent, name: str) -> str:
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._text_by_anchor:
            return self._text_by_anchor[event.anchor]
        if not isinstance(event, yaml.ScalarEvent):
            raise BookFormatError(
                _line_number(event),
                f"{name} is not a text: write a text" + (" or a list of texts" if name == "`ask`" else ""),
            )
        tag = event.tag or self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag != _STRING_TAG:
            type_name = _TYPE_NAMES.get(tag.rpartition(":")[2], "not a text")
            raise BookFormatError(
                _line_number(event),
                f"{name} is {type_name}: write a text, in quotes if YAML would read it as another type",
            )
        if event.anchor:
            self._text_by_anchor[event.anchor] = event.value
        return str(event.value)


def _line_number(event: YamlEvent) -> int:
    return int(event.start_mark.line) + 1


READER: Final = FormatReader(read_entries, find_entry_line)
