"""Markdown books: each heading of level 2 to 4 is a question, the text below it, up to the next, its answer.

Headings as in CommonMark: `## text`, closing hashes left out, or a line of dashes below a paragraph's only line.
A heading of level 1 is a title and ends an answer; of level 5 and 6 it is part of the answer. A heading with nothing
below it but a deeper heading is a section's title. Front matter is passed over.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from service.answerers.book.entries import PIECE, Entry, Fault, Reader, decoded

_HEADING: Final = re.compile(r" {0,3}(#{1,4})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*")
_PARAGRAPH: Final = re.compile(r" {0,3}(?![-*+>|#=]|\d+[.)])(?=\S)(.*\S)[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ANCHOR: Final = re.compile(r"[ \t]*\{#[\w-]+\}$")


class _Heading(NamedTuple):
    line: int
    level: int
    """1 to 4; 5 where the file ends."""
    text: str


def read(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in pieces. Raises Fault."""
    entries = (entry for _, entry in _entries(decoded(data)))
    while piece := list(itertools.islice(entries, PIECE)):
        yield piece


def line_of(data: bytes, index: int) -> int:
    """Return the line of the heading."""
    return next(itertools.islice(_entries(decoded(data)), index, None))[0]


def _entries(text: str) -> Iterator[tuple[int, Entry]]:
    lines = text.replace("\r\n", "\n").split("\n")
    for (heading, body), (following, _) in itertools.pairwise(_sections(lines)):
        answer = "\n".join(body).strip()
        if heading.level == 1 or (not answer and heading.level < following.level < 5):
            continue
        if not heading.text:
            raise Fault(heading.line, "the heading is empty: write the question behind its hashes")
        if not answer:
            raise Fault(heading.line, f"`{heading.text}` has no answer: write it below, or remove the heading")
        yield heading.line, Entry(heading.text, answer)


def _sections(lines: list[str]) -> Iterator[tuple[_Heading, list[str]]]:
    """Yield each heading with the lines below it, then a last one that stands for the end."""
    heading = _Heading(1, 1, "")
    body: list[str] = []
    fence = ""
    for number in range(_front_matter(lines), len(lines)):
        line = lines[number]
        fence = _fenced(line, fence)
        found = None if fence else _heading(line, number + 1, body)
        if not found:
            body.append(line)
            continue
        if _underlined(found, line):
            body.pop()
        yield heading, body
        heading, body = found, []
    yield heading, body
    yield _Heading(len(lines), 5, ""), []


def _front_matter(lines: list[str]) -> int:
    """Return how many lines a leading block between two `---` takes."""
    if lines and lines[0].rstrip() == "---":
        for number, line in enumerate(lines[1:], 2):
            if line.rstrip() in {"---", "..."}:
                return number
    return 0


def _fenced(line: str, fence: str) -> str:
    """Return the fence that is open after this line: a block of code has no headings."""
    mark = _FENCE.match(line)
    if not fence:
        return mark[1] if mark else ""
    closed = mark and mark[1].startswith(fence) and line.strip() == mark[1]
    return "" if closed else fence


def _heading(line: str, number: int, body: list[str]) -> _Heading | None:
    if found := _HEADING.fullmatch(line):
        return _Heading(number, len(found[1]), _plain(found[2] or ""))
    underline = _UNDERLINE.fullmatch(line)
    if not underline or not body or (len(body) > 1 and body[-2].strip()):
        return None
    paragraph = _PARAGRAPH.fullmatch(body[-1])
    if not paragraph:
        return None
    return _Heading(number - 1, 1 if underline[1][0] == "=" else 2, _plain(paragraph[1]))


def _underlined(heading: _Heading, line: str) -> bool:
    return not line.lstrip().startswith("#") and heading.level < 3


def _plain(text: str) -> str:
    """Leave out a heading's link targets and anchor: they are no part of what is asked."""
    return _ANCHOR.sub("", _LINK.sub(r"\1", text)).strip()


READER: Final = Reader(read, line_of)
