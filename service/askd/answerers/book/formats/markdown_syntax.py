"""Syntax of Markdown and MDX as far as books need it: sections, `<details>` blocks and bold lines."""

import re
import textwrap
from collections.abc import Iterator
from typing import Final, NamedTuple

from askd.answerers.book.formats import BookFormatError, is_question

_MAX_LEVEL: Final = 4
"""Maximum level of headings that need not read as questions; deeper ones belong to the answer."""
_ATX_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_SETEXT_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*")
_PARAGRAPH: Final = re.compile(r" {0,3}(?![-*+>|#=<]|\d+[.)])(?=\S)(.*\S)[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(?:(?:[-*+]|\d+[.)])[ \t]+)?[ \t]*(`{3,}(?=[^`]*$)|~{3,})")
_MDX_STATEMENT: Final = re.compile(
    r"import\s+(['\"]|.*\sfrom\s+['\"])|export\s+(const|let|default|function)\s|\{/\*.*\*/\}"
)
_COMPONENT_LINE: Final = re.compile(r"\s*</?[A-Z][\w.]*(\s[^<>]*)?/?>\s*")
_ATTRIBUTE_LINE: Final = re.compile(r"\s*\{:[^{}]*\}\s*|\s*<a\s[^<>]*(/>|>\s*</a>)\s*")
_PAGE_LINK_LINE: Final = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+\[.*\]\(\s*#[^)]*\)\s*")
_BACK_LINK_LINE: Final = re.compile(r"\W*\[[^\]]*\b(?:top|back)\b[^\]]*\]\(#[^)]*\)\W*", re.IGNORECASE)

_OPEN_BLOCK: Final = re.compile(r"\s*<(details|Accordion|AccordionItem|Expandable)\b([^<>]*)>", re.IGNORECASE)
_BLOCK_START: Final = re.compile(r"<(?:details|Accordion|AccordionItem|Expandable)\b[^<>]*(?<!/)>", re.IGNORECASE)
_BLOCK_END: Final = re.compile(r"</(?:details|Accordion|AccordionItem|Expandable)\s*>", re.IGNORECASE)
_INLINE_CODE: Final = re.compile(r"`[^`]*`")
_BLOCK_TITLE: Final = re.compile(r"""\b(?:title|question|header|label)=(?:\{?(["'`])(.*?)\1\}?)""", re.DOTALL)
_SUMMARY: Final = re.compile(r"\s*<summary\b[^>]*>(.*?)</summary>", re.IGNORECASE | re.DOTALL)
_LIST_MARKER: Final = r" {0,3}(?:[-*+][ \t]+|\d+[.)][ \t]+)?"
_BOLD_LINE: Final = re.compile(_LIST_MARKER + r"(\*\*|__)(?P<text>(?:(?!\1).)+)\1[:\\]?[ \t]*(?P<rest>.*)")
_LABELLED_LINE: Final = re.compile(
    _LIST_MARKER + r"(?:\*\*|__)?Q(?:uestion)?[ \t]*\d*[ \t]*(?:[:.)]|\*\*[:.]?)(?:\*\*|__)?[ \t]*(?P<text>.*\S)"
)
_ANSWER_LABEL: Final = re.compile(
    r"(?:A(?:nswer|ns)?[ \t]*\d*[ \t]*:|(\*\*|__)A(?:nswer|ns)?[ \t]*\d*[ \t]*(?:[:.]\1|\1[:.]?))[ \t]*(?=\S|$)"
)

_IMAGE: Final = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK: Final = re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>")
_ATTRIBUTES: Final = re.compile(r"[ \t]*\{:?[ \t]*[#.][^{}]*\}[ \t]*$")
_BOLD: Final = re.compile(r"\*\*(.+?)\*\*|(?<!\w)__(.+?)__(?!\w)")
_NUMBER: Final = re.compile(r"(?:\d+(?:\.\d+)*[.)]|Q(?:uestion)?[ \t]*\d*[:.)]|(?:Q|Question )\d+[:.)]?)[ \t]+")


class Part(NamedTuple):
    """A question within a section: a `<details>` block or a bold line."""

    line: int
    question: str
    text: str
    is_block: bool


class Section(NamedTuple):
    """A heading with the text up to the next heading; the text before the first heading has level 0."""

    line: int
    level: int
    title: str
    heading: str
    lines: list[str]
    """The text, in lines."""

    @property
    def text(self) -> str:
        """The text below the heading."""
        return "\n".join(self.lines)

    @property
    def source(self) -> str:
        """The heading as written, and the text below it."""
        return f"{self.heading}\n{self.text}"

    def has_text_before_parts(self) -> bool:
        """Return whether the section begins with text, so that a block in it belongs to this text."""
        first_line = next((line for line in self.lines if line.strip()), "")
        return bool(first_line) and not (_OPEN_BLOCK.match(first_line) or _match_question_line(first_line, ""))

    def split_parts(self) -> list[Part]:
        """Return the questions in this section, or an empty list if its text is one answer."""
        parts = list(_scan_parts(self))
        if not any(is_question(part.question) for part in parts):
            blocks_only = parts and not _remove_blocks(self.text).strip()
            return [part for part in parts if part.is_block] if blocks_only else []
        return parts


def split_sections(text: str) -> Iterator[Section]:
    """Yield the sections of a file. Front matter, comments and MDX statements are left out."""
    lines = text.replace("\r\n", "\n").split("\n")
    first_line = _count_front_matter_lines(lines)
    section = Section(first_line + 1, 0, "", "", [])
    fence, block_depth, in_comment = "", 0, False
    for index in range(first_line, len(lines)):
        line = lines[index]
        fence = _update_fence(line, fence)
        if fence:
            section.lines.append(line)
            continue
        in_comment = in_comment or line.lstrip().startswith("<!--")
        if in_comment or _MDX_STATEMENT.match(line):
            in_comment = in_comment and "-->" not in line
            section.lines.append("")
            continue
        block_depth = max(0, block_depth + _count_opened_blocks(line))
        heading = None if block_depth else _parse_heading(line, index + 1, section.lines)
        if heading:
            if "\n" in heading.heading:
                section.lines.pop()
            yield section
            section = heading
        else:
            section.lines.append(line)
    yield section


def clean_answer(text: str) -> str:
    """Return the text of an answer without attributes, component tags, links to the top and a rule at its end."""
    kept_lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        fence = _update_fence(line, fence)
        if fence or not any(pattern.fullmatch(line) for pattern in (_COMPONENT_LINE, _ATTRIBUTE_LINE, _BACK_LINK_LINE)):
            kept_lines.append(line)
    answer = textwrap.dedent("\n".join(kept_lines)).strip()
    answer = re.sub(r"(?:\A|\n[ \t]*\n) {0,3}(?:-[ \t]*){3,}\Z|(?:\A|\n)[ \t]*(?:\*[ \t]*){3,}\Z", "", answer).strip()
    return _ANSWER_LABEL.sub("", answer, count=1) if _ANSWER_LABEL.match(answer) else answer


def is_link_list(text: str) -> bool:
    """Return whether a text is only a list of links within the page, as in a table of contents."""
    lines = [line for line in text.split("\n") if line.strip()]
    return bool(lines) and all(_PAGE_LINK_LINE.fullmatch(line) for line in lines)


def clean_title(text: str) -> str:
    """Return a heading without link targets, tags, attributes, bold marks and its number."""
    text = _TAG.sub("", _LINK.sub(r"\1", _IMAGE.sub("", _ATTRIBUTES.sub("", text))))
    text = _BOLD.sub(lambda bold: bold[1] or bold[2], text)
    return _NUMBER.sub("", " ".join(text.split()), count=1).strip()


def _count_front_matter_lines(lines: list[str]) -> int:
    """Return the number of lines of a leading block between two `---` (YAML) or `+++` (TOML), or 0."""
    mark = lines[0].rstrip() if lines else ""
    if mark in {"---", "+++"}:
        for number, line in enumerate(lines[1:], 2):
            if line.rstrip() in {mark, "..."}:
                return number
    return 0


def _update_fence(line: str, fence: str) -> str:
    """Return the code fence that is open after this line, or an empty string. Code blocks cannot contain headings."""
    fence_match = _FENCE.match(line)
    if not fence:
        return fence_match[1] if fence_match else ""
    closed = fence_match and fence_match[1].startswith(fence) and line.strip() == fence_match[1]
    return "" if closed else fence


def _parse_heading(line: str, number: int, body: list[str]) -> Section | None:
    """Return the section that begins at this line, whose heading may be the last line of the body."""
    if atx_heading := _ATX_HEADING.fullmatch(line):
        level, title = len(atx_heading[1]), clean_title(atx_heading[2] or "")
        return Section(number, level, title, line, []) if level <= _MAX_LEVEL or is_question(title) else None
    underline = _SETEXT_UNDERLINE.fullmatch(line)
    if not underline or not body or (len(body) > 1 and body[-2].strip()):
        return None
    paragraph = _PARAGRAPH.fullmatch(body[-1])
    if not paragraph:
        return None
    heading = f"{body[-1]}\n{line}"
    return Section(number - 1, 1 if underline[1][0] == "=" else 2, clean_title(paragraph[1]), heading, [])


def _count_opened_blocks(line: str) -> int:
    """Return how many blocks the line opens, less those that it closes. Inline code is no block."""
    markup = _INLINE_CODE.sub("", line)
    return len(_BLOCK_START.findall(markup)) - len(_BLOCK_END.findall(markup))


def _match_question_line(line: str, previous_line: str) -> tuple[str, str] | None:
    """Return the question of a bold or labelled line that begins a paragraph, and the text after it; otherwise None."""
    if previous_line.strip():
        return None
    if labelled := _LABELLED_LINE.fullmatch(line):
        return clean_title(labelled["text"].strip("*_ ")), ""
    bold = _BOLD_LINE.fullmatch(line)
    if bold and is_question(question := clean_title(bold["text"].strip())):
        return question, bold["rest"]
    return None


def _scan_parts(section: Section) -> Iterator[Part]:
    """Yield each `<details>` block and each bold line with the text up to the next one."""
    part: Part | None = None
    fence = previous_line = ""
    heading_lines = section.heading.count("\n") + 1 if section.level else 0
    lines = iter(enumerate(section.lines, section.line + heading_lines))
    for number, line in lines:
        fence = _update_fence(line, fence)
        if not fence and _OPEN_BLOCK.match(line):
            if part:
                yield part
            part = None
            if block := _read_block(number, line, lines):
                yield block
        elif not fence and (question := _match_question_line(line, previous_line)):
            if part:
                yield part
            part = Part(number, *question, is_block=False)
        elif part:
            part = part._replace(text=f"{part.text}\n{line}")
        previous_line = line
    if part:
        yield part


def _read_block(number: int, line: str, lines: Iterator[tuple[int, str]]) -> Part | None:
    """Return the block that begins with this line, reading it from the lines; None if it has no title."""
    source = line
    depth = _count_opened_blocks(line)
    while depth > 0:
        _, next_line = next(lines, (0, None))
        if next_line is None:
            raise BookFormatError(number, "the block is not closed: add its end tag, such as </details>")
        source += f"\n{next_line}"
        depth += _count_opened_blocks(next_line)
    opening = _OPEN_BLOCK.match(source)
    content = source[opening.end() :] if opening else source
    content = re.sub(rf"{_BLOCK_END.pattern}\s*\Z", "", content, flags=re.IGNORECASE)
    if summary := _SUMMARY.match(content):
        title, content = summary[1], content[summary.end() :]
    elif opening and (attribute := _BLOCK_TITLE.search(opening[2])):
        title = attribute[2]
    else:
        return None
    return Part(number, clean_title(re.sub(r"^\W*#+\s", "", title)), content, is_block=True)


def _remove_blocks(text: str) -> str:
    return re.sub(r"<details\b.*?</details>|</?AccordionGroup>|<Accordion\b.*?</Accordion>", "", text, flags=re.DOTALL)
