"""Markdown and MDX books: a question is a heading, a `<details>` block or a bold line; its answer is the text below.

The headings are those of CommonMark. A file is cut into sections at its headings, and a section into parts at the
`<details>` blocks and bold lines in it. A heading is a title, not a question, if

- it is of level 1 and neither a question itself nor one of several with text of their own,
- the questions are further down: deeper headings, `<details>` blocks or bold lines that read as questions,
- it names a section such as "Contents", or its text is only a list of links within the page.

Deeper headings that do not read as questions belong to the answer of a heading that does.
"""

import functools
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
from askd.answerers.book.formats.markdown_syntax import Part, Section, clean_answer, is_link_list, split_sections

_LEFT_OUT_TITLES: Final = frozenset(
    {
        *("contents", "content", "table of contents", "toc", "index", "on this page", "see also", "further reading"),
        *("references", "links", "license", "licence", "changelog", "contributing", "credits", "acknowledgements"),
        *("acknowledgments", "translations", "inhalt", "inhaltsverzeichnis", "sommaire", "table des matières"),
        *("índice", "indice", "目录", "目錄", "目次", "목차"),
    }
)
_MIN_QUESTION_SHARE: Final = 0.3
"""Minimum share of entries that read as questions in a file of a folder that is a book."""


def read_entries(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in batches. Raises BookFormatError."""
    entries = (entry for _, entry in _parse_entries(decode_utf8(data)))
    while batch := list(itertools.islice(entries, BATCH_SIZE)):
        yield batch


def find_entry_lines(data: bytes, indexes: Collection[int]) -> dict[int, int]:
    """Return the lines of the questions of these entries."""
    entries = _parse_entries(decode_utf8(data))
    return find_lines((functools.partial(int, line) for line, _ in entries), indexes)


def _is_book(data: bytes) -> bool:
    """Return whether enough entries read as questions; a page of documentation has headings too."""
    try:
        questions = [entry.questions[0] for _, entry in _parse_entries(decode_utf8(data))]
    except BookFormatError:
        return any(is_question(section.title) for section in split_sections(decode_utf8(data)) if section.level > 1)
    return sum(map(is_question, questions)) > _MIN_QUESTION_SHARE * len(questions)


def _parse_entries(text: str) -> Iterator[tuple[int, Entry]]:
    """Yield each entry with the line of its question."""
    sections = list(split_sections(text))
    top_level_is_title = _is_top_level_title(sections)
    has_questions = any(is_question(section.title) for section in sections)
    index = 0
    while index < len(sections):
        section = sections[index]
        descendants = _descendants(sections, index)
        index += 1
        asks = is_question(section.title)
        if section.level == 0 or (section.level == 1 and top_level_is_title):
            yield from _parse_parts(section.split_parts())
            continue
        if asks and descendants and not any(is_question(child.title) or child.split_parts() for child in descendants):
            yield section.line, _build_entry(section, [section.text, *(child.source for child in descendants)])
            index += len(descendants)
            continue
        parts = [] if asks and section.has_text_before_parts() else section.split_parts()
        if parts:
            yield from _parse_parts(parts)
            continue
        has_questions_below = any(is_question(child.title) or child.split_parts() for child in descendants)
        is_title = (descendants and not section.text.strip()) or (has_questions_below and not asks)
        if is_title or _is_left_out(section) or (has_questions and not asks and not section.text.strip()):
            continue
        yield section.line, _build_entry(section, [section.text])


def _is_top_level_title(sections: list[Section]) -> bool:
    """Return whether the headings of level 1 are titles: questions have text and no questions below them."""
    leaves = [
        section
        for number, section in enumerate(sections)
        if section.level == 1
        and section.text.strip()
        and not section.split_parts()
        and not any(is_question(child.title) for child in _descendants(sections, number))
    ]
    return len(leaves) < 2 and not any(is_question(section.title) for section in leaves)


def _descendants(sections: list[Section], index: int) -> list[Section]:
    """Return the deeper sections that follow this one directly."""
    following = itertools.islice(sections, index + 1, None)
    return list(itertools.takewhile(lambda section: section.level > sections[index].level, following))


def _is_left_out(section: Section) -> bool:
    return section.title.casefold().strip(" :*") in _LEFT_OUT_TITLES or is_link_list(section.text)


def _parse_parts(parts: list[Part]) -> Iterator[tuple[int, Entry]]:
    for part in parts:
        answer = clean_answer(part.text)
        if not answer:
            raise BookFormatError(part.line, f"`{part.question}` lacks an answer: write it below, or remove the line")
        yield part.line, Entry(part.question, answer)


def _build_entry(section: Section, texts: list[str]) -> Entry:
    if not section.title:
        raise BookFormatError(section.line, "the heading is empty: write the question after the hashes")
    answer = clean_answer("\n".join(texts))
    if not answer:
        raise BookFormatError(
            section.line, f"`{section.title}` lacks an answer: write it below the heading, or remove the heading"
        )
    return Entry(section.title, answer)


READER: Final = FormatReader(read_entries, find_entry_lines, _is_book)
