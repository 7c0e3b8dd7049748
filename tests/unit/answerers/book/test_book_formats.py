"""The three formats, read rightly."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.answerers.book import read_json, read_markdown, read_yaml
from service.answerers.book.entries import Entry, Reader


def entries(reader: Reader, text: str) -> list[Entry]:
    """Read a whole text."""

    def flat() -> Iterator[Entry]:
        for piece in reader.read(text.encode()):
            yield from piece

    return list(flat())


def test_yaml_takes_one_question_or_several() -> None:
    """`ask` is a text or a list of texts; quotes, blocks and anchors are YAML's."""
    text = (
        "- ask: a\n  answer: &same one\n- ask: ['b', \"c\"]\n  answer: *same\n- ask: d\n  answer: |\n    l1\n    l2\n"
    )
    found = [(entry.questions, entry.answer) for entry in entries(read_yaml.READER, text)]
    assert found == [(["a"], "one"), (["b", "c"], "one"), (["d"], "l1\nl2\n")]


@pytest.mark.parametrize("text", ["", "# only a remark\n", "---\n", "[]", "---\n...\n"])
def test_yaml_may_hold_nothing(text: str) -> None:
    """Nothing is no entry, and no fault of the reader's."""
    assert entries(read_yaml.READER, text) == []


def test_json_may_begin_with_a_byte_order_mark() -> None:
    """Files of some editors begin with U+FEFF."""
    assert entries(read_json.READER, '\ufeff [{"ask": "a", "answer": "b"}]') == [Entry("a", "b")]


TEXT = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.sampled_from(["},{", '"}, {"', "}]", "]["])
)
ENTRY = st.fixed_dictionaries({"ask": st.one_of(TEXT, st.lists(TEXT, max_size=3)), "answer": TEXT})


@settings(deadline=None)
@given(st.lists(ENTRY, max_size=20), st.sampled_from([None, 1]), st.integers(1, 200))
def test_json_slices_give_what_the_whole_gives(book: list[object], indent: int | None, size: int) -> None:
    """Wherever the file is cut, also inside texts that look like the end of an entry, nothing is lost or changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_json, "SLICE", size)
        found = entries(read_json.READER, json.dumps(book, indent=indent))
    assert [{"ask": entry.ask, "answer": entry.answer} for entry in found] == book


def test_markdown_headings_are_questions() -> None:
    """Levels 2 to 4 ask; level 1 and an empty section title do not; deeper ones and code belong to the answer."""
    text = """---
title: x
---
# Title
Preface.

## What is [a](http://b)? ##
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
    found = [(entry.ask, entry.answer) for entry in entries(read_markdown.READER, text)]
    assert found == [
        ("What is a?", "One.\n\n##### Detail\n```sh\n## no heading\n```"),
        ("Deep", "Two."),
        ("Underlined", "Three.\n\nA paragraph\nof two lines\n---"),
    ]


def test_markdown_reads_windows_line_ends() -> None:
    """Carriage returns are no part of questions and answers."""
    assert entries(read_markdown.READER, "## a\r\nb\r\nc\r\n") == [Entry("a", "b\nc")]
