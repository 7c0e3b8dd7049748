"""Markdown books: each heading of level 2 to 4 is a question, and the text up to the next heading is its answer.

Headings follow CommonMark: `## text` with optional closing hashes, or a line of dashes below a paragraph of one line.
A heading of level 1 is a title and ends an answer. Headings of levels 5 and 6 are part of the answer. A heading that is
directly followed by a deeper heading is a section title. Front matter is ignored.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from askd.answerers.book.formats import BATCH_SIZE, BookFormatError, Entry, FormatReader, decode_utf8

_ATX_HEADING: Final = re.compile(r" {0,3}(#{1,4})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_SETEXT_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*")
_PARAGRAPH: Final = re.compile(r" {0,3}(?![-*+>|#=]|\d+[.)])(?=\S)(.*\S)[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ANCHOR: Final = re.compile(r"[ \t]*\{#[\w-]+\}$")
_END_OF_FILE_LEVEL: Final = 5


class _Heading(NamedTuple):
    line: int
    level: int
    """1 to 4, or `_END_OF_FILE_LEVEL`."""
    text: str


def read_entries(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in batches. Raises BookFormatError."""
    entries = (entry for _, entry in _parse_entries(decode_utf8(data)))
    while batch := list(itertools.islice(entries, BATCH_SIZE)):
        yield batch


def find_entry_line(data: bytes, index: int) -> int:
    """Return the line of the entry's heading."""
    return next(itertools.islice(_parse_entries(decode_utf8(data)), index, None))[0]


def _parse_entries(text: str) -> Iterator[tuple[int, Entry]]:
    lines = text.replace("\r\n", "\n").split("\n")
    for (heading, body), (next_heading, _) in itertools.pairwise(_split_sections(lines)):
        answer = "\n".join(body).strip()
        is_section_title = not answer and heading.level < next_heading.level < _END_OF_FILE_LEVEL
        if heading.level == 1 or is_section_title:
            continue
        if not heading.text:
            raise BookFormatError(heading.line, "the heading is empty: write the question after the hashes")
        if not answer:
            raise BookFormatError(
                heading.line, f"`{heading.text}` lacks an answer: write it below the heading, or remove the heading"
            )
        yield heading.line, Entry(heading.text, answer)


def _split_sections(lines: list[str]) -> Iterator[tuple[_Heading, list[str]]]:
    """Yield each heading with the lines below it, then an artificial heading for the end of the file."""
    heading = _Heading(1, 1, "")
    body: list[str] = []
    fence = ""
    for index in range(_count_front_matter_lines(lines), len(lines)):
        line = lines[index]
        fence = _update_fence(line, fence)
        next_heading = None if fence else _parse_heading(line, index + 1, body)
        if not next_heading:
            body.append(line)
            continue
        if _is_setext_heading(next_heading, line):
            body.pop()
        yield heading, body
        heading, body = next_heading, []
    yield heading, body
    yield _Heading(len(lines), _END_OF_FILE_LEVEL, ""), []


def _count_front_matter_lines(lines: list[str]) -> int:
    """Return the number of lines of a leading block between two `---`, or 0."""
    if lines and lines[0].rstrip() == "---":
        for number, line in enumerate(lines[1:], 2):
            if line.rstrip() in {"---", "..."}:
                return number
    return 0


def _update_fence(line: str, fence: str) -> str:
    """Return the code fence that is open after this line, or an empty string. Code blocks cannot contain headings."""
    fence_match = _FENCE.match(line)
    if not fence:
        return fence_match[1] if fence_match else ""
    closed = fence_match and fence_match[1].startswith(fence) and line.strip() == fence_match[1]
    return "" if closed else fence


def _parse_heading(line: str, number: int, body: list[str]) -> _Heading | None:
    if atx_heading := _ATX_HEADING.fullmatch(line):
        return _Heading(number, len(atx_heading[1]), _strip_links_and_anchor(atx_heading[2] or ""))
    underline = _SETEXT_UNDERLINE.fullmatch(line)
    if not underline or not body or (len(body) > 1 and body[-2].strip()):
        return None
    paragraph = _PARAGRAPH.fullmatch(body[-1])
    if not paragraph:
        return None
    return _Heading(number - 1, 1 if underline[1][0] == "=" else 2, _strip_links_and_anchor(paragraph[1]))


def _is_setext_heading(heading: _Heading, line: str) -> bool:
    return not line.lstrip().startswith("#") and heading.level < 3


def _strip_links_and_anchor(text: str) -> str:
    """Remove link targets and the anchor of a heading, which are not part of the question."""
    return _ANCHOR.sub("", _LINK.sub(r"\1", text)).strip()


READER: Final = FormatReader(read_entries, find_entry_line)
