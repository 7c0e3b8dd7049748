"""Tests of the reader of Markdown and MDX with valid files, in the shapes of public FAQs."""

import itertools

from askd.answerers.book.formats import Entry, markdown_file


def read_entries(text: str) -> list[Entry]:
    """Return all entries of a file."""
    return list(itertools.chain.from_iterable(markdown_file.READER.read_entries(text.encode())))


def test_markdown_headings_are_questions() -> None:
    """Headings of levels 2 to 4 are questions; titles are not; deeper headings and code belong to the answer."""
    text = """---
title: x
---
# Title
Preface.

## Why [a](http://b)? ##
One.

##### Detail
```sh
## no heading
```

## Section

### Deep {#deep}
Two.

Underlined
----------
Three.

A paragraph
of two lines
---
# Another title
"""
    result = [(entry.ask, entry.answer) for entry in read_entries(text)]
    assert result == [
        ("Why a?", "One.\n\n##### Detail\n```sh\n## no heading\n```"),
        ("Deep", "Two."),
        ("Underlined", "Three.\n\nA paragraph\nof two lines\n---"),
    ]


def test_markdown_with_windows_line_endings() -> None:
    """Carriage returns are not part of questions or answers."""
    assert read_entries("## a\r\nb\r\nc\r\n") == [Entry("a", "b\nc")]


def read_markdown(text: str) -> list[tuple[str, str]]:
    """Return the questions and answers of a Markdown file."""
    return [(entry.questions[0], entry.answer) for entry in read_entries(text)]


def test_markdown_questions_of_level_one() -> None:
    """Headings of level 1 are questions if several have text of their own, or if one reads as a question."""
    assert read_markdown("# a\nb\n# c\nd\n") == [("a", "b"), ("c", "d")]
    assert read_markdown("# Why a?\nb\n") == [("Why a?", "b")]
    assert read_markdown("# Questions?\nSee below.\n## a?\nb\n") == [("a?", "b")]


def test_markdown_attributes_numbers_and_marks_are_dropped() -> None:
    """Attributes, tags, numbers and bold marks are not part of the question, attribute lines not of the answer."""
    text = """
## 1. Why **a**? {: #a .b }
{: .note }
One.
## <a name="x"></a>Q2: Why b? {#c}
A: Two {x}.
"""
    assert read_markdown(text) == [("Why a?", "One."), ("Why b?", "Two {x}.")]


def test_markdown_sections_are_left_out() -> None:
    """Tables of contents, sections without text and introductions of a group of questions are no entries."""
    text = """
# FAQ
## Contents
- [Why a?](#a)
## Questions
* [Why a?](#a)
* [Other](#b)
## General
Some words.
### Why a?
One.

[Back to top](#faq)
## Support
## Topic
Two.
***
## License
MIT
"""
    assert read_markdown(text) == [("Why a?", "One."), ("Topic", "Two.")]


def test_markdown_deeper_headings_belong_to_a_question() -> None:
    """Headings below a question that read as no questions are part of its answer."""
    text = "## How do I install it?\n### Linux\nOne.\n### macOS\nTwo.\n## Can I remove it?\nYes.\n"
    assert read_markdown(text) == [
        ("How do I install it?", "### Linux\nOne.\n### macOS\nTwo."),
        ("Can I remove it?", "Yes."),
    ]


def test_markdown_headings_of_levels_five_and_six() -> None:
    """They belong to the answer, unless they read as questions."""
    text = "## Topic\nUse `<details>`.\n##### Detail\nOne.\n##### Why?\nTwo.\n"
    assert read_markdown(text) == [("Why?", "Two.")]
    assert read_markdown("## Topic\nUse `<details>`.\n##### Detail\nOne.\n") == [
        ("Topic", "Use `<details>`.\n##### Detail\nOne.")
    ]


def test_markdown_details() -> None:
    """A `<details>` block is a question, unless it is part of the answer to a heading."""
    text = """
# FAQ
## General
<details>
<summary><b>Why a?</b></summary>

One.

## not a heading of the file
<details><summary>Inner?</summary>x</details>
</details>
<details><summary>b</summary>Two.</details>

## Why?
Because:
<details><summary>Log</summary>
x
</details>
"""
    inner = "## not a heading of the file\n<details><summary>Inner?</summary>x</details>"
    assert read_markdown(text) == [
        ("Why a?", f"One.\n\n{inner}"),
        ("b", "Two."),
        ("Why?", "Because:\n<details><summary>Log</summary>\nx\n</details>"),
    ]


def test_markdown_bold_lines() -> None:
    """Bold lines that read as questions, and lines labelled with Q, are questions; other bold lines are not."""
    text = """
# FAQ
**Why a?**
One.

**Note**

1. **Is b allowed?** Yes.

__Q: and c__

**A:** Three.

**Q**. Why d?

**A**. Four.
```
**Why code?**
```
"""
    assert read_markdown(text) == [
        ("Why a?", "One.\n\n**Note**"),
        ("Is b allowed?", "Yes."),
        ("and c", "Three."),
        ("Why d?", "Four.\n```\n**Why code?**\n```"),
    ]


def test_mdx() -> None:
    """Imports, comments and tags of components are dropped; accordions are questions."""
    text = """---
title: x
---
import X from "./x"
{/* comment */}
<!-- another
## comment -->
<AccordionGroup>
  <Accordion title="Why a?">
    One.
    <X />
    Import duties apply.
  </Accordion>
  <Accordion title={"Why b?"} icon="c">Two.</Accordion>
</AccordionGroup>

## Why c?
<Note>
Three.
</Note>
"""
    assert read_markdown(text) == [
        ("Why a?", "One.\nImport duties apply."),
        ("Why b?", "Two."),
        ("Why c?", "Three."),
    ]
    assert markdown_file.READER.find_entry_lines(text.encode(), {0, 1, 2}) == {0: 9, 1: 14, 2: 17}
