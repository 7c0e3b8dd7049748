"""YAML books, read event by event.

`yaml.load` is not used because events have line numbers, show duplicate keys, do not expand aliases, and let other
threads run in between, which a single call of the C parser would not. The elements of a list are built one at a time.
"""

import functools
import itertools
from collections.abc import Collection, Iterator
from typing import Any, Final, TypeAlias

import yaml

from askd.answerers.book.formats import (
    BATCH_SIZE,
    BookFormatError,
    Entry,
    FormatReader,
    decode_utf8,
    find_lines,
    has_book_content,
)
from askd.answerers.book.formats.entry_extraction import Path, StructureError, find_entries

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTRUCTOR: Final[Any] = yaml.constructor.SafeConstructor()
_CONSTRUCTORS: Final = {
    "tag:yaml.org,2002:null": _CONSTRUCTOR.construct_yaml_null,
    "tag:yaml.org,2002:bool": _CONSTRUCTOR.construct_yaml_bool,
    "tag:yaml.org,2002:int": _CONSTRUCTOR.construct_yaml_int,
    "tag:yaml.org,2002:float": _CONSTRUCTOR.construct_yaml_float,
}
"""Scalars of these types are no texts, unless they are quoted. All others, such as dates, are."""

YamlEvent: TypeAlias = Any  # the type stubs lack most attributes of events


class _Mapping(dict[str, Any]):
    """A mapping that knows the lines of its values."""

    lines: dict[str | int, int]


class _Sequence(list[Any]):
    """A list that knows the lines of its items."""

    lines: dict[str | int, int]


def read_entries(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in batches. Raises BookFormatError."""
    entries = (entry for _, entry in _DocumentParser(decode_utf8(data)).parse_entries())
    try:
        while batch := list(itertools.islice(entries, BATCH_SIZE)):
            yield batch
    except RecursionError:
        raise BookFormatError(1, "nested too deeply: an entry is a mapping of texts") from None


def find_entry_lines(data: bytes, indexes: Collection[int]) -> dict[int, int]:
    """Return the lines where these entries begin."""
    entries = _DocumentParser(decode_utf8(data)).parse_entries()
    return find_lines((functools.partial(int, line) for line, _ in entries), indexes)


class _DocumentParser:
    """Parser of one file. Its methods share the stream of events."""

    def __init__(self, text: str) -> None:
        self._events = self._parse_events(text)
        self._resolver: Any = yaml.resolver.Resolver()
        self._scalar_by_anchor: dict[str, Any] = {}

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
            index = itertools.count()
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                yield from _find_located_entries(self._build(event), (next(index),), _line_number(event))
        elif not _is_empty(root):
            yield from _find_located_entries(self._build(root), (), _line_number(root))
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent) and not _is_empty(next(self._events)):
                raise BookFormatError(
                    _line_number(event), "the file has a second document: move its entries to the first and remove ---"
                )

    def _build(self, event: YamlEvent) -> Any:
        """Return the value that begins with this event. Only scalars may have aliases."""
        if isinstance(event, yaml.MappingStartEvent):
            return self._build_mapping()
        if isinstance(event, yaml.SequenceStartEvent):
            sequence = _Sequence()
            sequence.lines = {}
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                sequence.lines[len(sequence)] = _line_number(item)
                sequence.append(self._build(item))
            return sequence
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._scalar_by_anchor:
                raise BookFormatError(
                    _line_number(event), f"`*{event.anchor}` does not refer to a text: write out the text"
                )
            return self._scalar_by_anchor[event.anchor]
        value = self._build_scalar(event)
        if event.anchor:
            self._scalar_by_anchor[event.anchor] = value
        return value

    def _build_mapping(self) -> _Mapping:
        mapping = _Mapping()
        mapping.lines = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent) or (key.value == "<<" and key.implicit[0]):
                kind = "a merge key" if isinstance(key, yaml.ScalarEvent) else "not a text"
                raise BookFormatError(_line_number(key), f"a key is {kind}: write a text")
            if key.value in mapping:
                raise BookFormatError(
                    _line_number(key), f"duplicate key `{key.value}` in one entry: write several texts as a list"
                )
            event = next(self._events)
            mapping[key.value] = self._build(event)
            mapping.lines[key.value] = _line_number(event)
        return mapping

    def _build_scalar(self, event: YamlEvent) -> Any:
        tag = event.tag or self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
        construct = _CONSTRUCTORS.get(tag)
        return construct(yaml.ScalarNode(tag, event.value)) if construct else str(event.value)


def _find_located_entries(value: Any, start_path: Path, line: int) -> Iterator[tuple[int, Entry]]:
    try:
        for path, entry in find_entries(value, start_path):
            yield _find_line(value, path[len(start_path) :], line), entry
    except StructureError as error:
        raise BookFormatError(_find_line(value, error.path[len(start_path) :], line), error.message) from None


def _find_line(value: Any, path: Path, line: int) -> int:
    for step in path:
        line, value = value.lines[step], value[step]
    return line


def _is_empty(event: YamlEvent) -> bool:
    """Return whether a document has no value, as after a last line `---`."""
    return isinstance(event, yaml.ScalarEvent) and not event.value


def _line_number(event: YamlEvent) -> int:
    return int(event.start_mark.line) + 1


READER: Final = FormatReader(read_entries, find_entry_lines, functools.partial(has_book_content, read_entries))
