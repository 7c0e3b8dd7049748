"""CSV and TSV books: the first line names the columns, each further line is an entry.

A table of two columns needs no names if its first line is a question and its answer.
"""

import codecs
import csv
import functools
import io
import itertools
from collections.abc import Collection, Iterator
from typing import Final

from askd.answerers.book.formats import (
    BATCH_SIZE,
    BookFormatError,
    Entry,
    FormatReader,
    decode_utf8,
    find_lines,
    is_question,
)
from askd.answerers.book.formats.entry_extraction import StructureError, is_record, parse_record

_DELIMITERS: Final = ",;\t|"
_QUESTION_MARKS: Final = ("?", "\uff1f", "\u061f")


def read_entries(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in batches. Raises BookFormatError."""
    entries = (entry for _, entry in _parse_rows(decode_utf8(data)))
    while batch := list(itertools.islice(entries, BATCH_SIZE)):
        yield batch


def find_entry_lines(data: bytes, indexes: Collection[int]) -> dict[int, int]:
    """Return the lines where these entries begin."""
    rows = _parse_rows(decode_utf8(data))
    return find_lines((functools.partial(int, line) for line, _ in rows), indexes)


def _parse_rows(text: str) -> Iterator[tuple[int, Entry]]:
    """Yield each entry with the line of its row."""
    header_line = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line, names = 1, None
    try:
        for row in rows:
            row_line, line = line, rows.line_num + 1
            if not any(map(str.strip, row)):
                continue
            if names is None and not _is_entry_row(row):
                names = _parse_header(row, row_line)
                continue
            names = names or ["question", "answer"]
            row = _join_cells(row, delimiter, len(names))  # noqa: PLW2901 the row as meant
            if any(map(str.strip, row[len(names) :])):
                raise BookFormatError(
                    row_line,
                    f"the row has {len(row)} cells but the header {len(names)}: put texts that contain {delimiter!r} "
                    "into double quotes",
                )
            try:
                for entry in parse_record({name: cell for name, cell in zip(names, row, strict=False) if name}):
                    yield row_line, entry
            except StructureError as error:
                raise BookFormatError(row_line, error.message) from None
    except csv.Error as error:
        raise BookFormatError(line, f"not valid CSV ({error}): fix the quotes of this row") from None


def _join_cells(row: list[str], delimiter: str, width: int) -> list[str]:
    """Return a row with too many cells with those joined that begin with a space, if the result fits the columns.

    People forget to quote a text with a comma, and the space after it shows that the text goes on. In two columns,
    the answer is all that follows a cell with a question mark at its end.
    """
    if len(row) > width == 2 and row[0].rstrip().endswith(_QUESTION_MARKS):
        return [row[0], delimiter.join(row[1:])]
    cells: list[str] = []
    for cell in row if len(row) > width else ():
        if cells and cell.startswith(" "):
            cells[-1] += delimiter + cell
        else:
            cells.append(cell)
    return cells if len(cells) == width else row


def _is_entry_row(row: list[str]) -> bool:
    """Return whether the first row is an entry rather than a header: two cells, of which the first is a question."""
    return len(row) == 2 and is_question(row[0]) and not is_record(dict.fromkeys(row, ""))


def _parse_header(names: list[str], line: int) -> list[str]:
    names = [name.strip() for name in names]
    if duplicate := next((name for name in names if name and names.count(name) > 1), None):
        raise BookFormatError(line, f"the header has the column `{duplicate}` twice: rename one")
    if not is_record(dict.fromkeys(names, "")):
        found = ", ".join(f"`{name}`" for name in names)
        raise BookFormatError(
            line,
            f"the first line names no question and answer (it has {found}): name the columns `question` and `answer`",
        )
    return names


def _is_book(data: bytes) -> bool:
    header = data.removeprefix(codecs.BOM_UTF8).split(b"\n", 1)[0]
    try:
        next(_parse_rows(decode_utf8(header)), None)
    except BookFormatError:
        return False
    return bool(header.strip())


READER: Final = FormatReader(read_entries, find_entry_lines, _is_book)
