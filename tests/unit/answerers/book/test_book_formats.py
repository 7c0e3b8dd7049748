"""Tests of the YAML, JSON and Markdown readers with valid files."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from askd.answerers.book.formats import Entry, FormatReader, json_file, markdown_file, yaml_file


def read_entries(reader: FormatReader, text: str) -> list[Entry]:
    """Return all entries of a file."""
    return list(itertools.chain.from_iterable(reader.read_entries(text.encode())))


def test_yaml_one_or_several_questions() -> None:
    """`ask` is a text or a list of texts; YAML quotes, blocks and anchors are supported."""
    text = (
        "- ask: a\n  answer: &same one\n- ask: ['b', \"c\"]\n  answer: *same\n- ask: d\n  answer: |\n    l1\n    l2\n"
    )
    result = [(entry.questions, entry.answer) for entry in read_entries(yaml_file.READER, text)]
    assert result == [(["a"], "one"), (["b", "c"], "one"), (["d"], "l1\nl2\n")]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "[]", "---\n...\n"])
def test_empty_yaml(text: str) -> None:
    """An empty file or list yields no entries."""
    assert read_entries(yaml_file.READER, text) == []


def test_json_with_byte_order_mark() -> None:
    """A byte order mark at the start is ignored."""
    assert read_entries(json_file.READER, '\ufeff [{"ask": "a", "answer": "b"}]') == [Entry("a", "b")]


TEXT = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.sampled_from(["},{", '"}, {"', "}]", "]["])
)
ENTRY = st.fixed_dictionaries({"ask": st.one_of(TEXT, st.lists(TEXT, max_size=3)), "answer": TEXT})


@settings(deadline=None)
@given(st.lists(ENTRY, max_size=20), st.sampled_from([None, 1]), st.integers(1, 200))
def test_json_slices_yield_all_entries(book: list[object], indent: int | None, size: int) -> None:
    """Any slice size yields the same entries, even if strings look like the end of an entry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "SLICE_BYTES", size)
        result = read_entries(json_file.READER, json.dumps(book, indent=indent))
    assert [{"ask": entry.ask, "answer": entry.answer} for entry in result] == book


def test_markdown_headings_are_questions() -> None:
    """Headings of levels 2 to 4 are questions; titles are not; deeper headings and code belong to the answer."""
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
    result = [(entry.ask, entry.answer) for entry in read_entries(markdown_file.READER, text)]
    assert result == [
        ("What is a?", "One.\n\n##### Detail\n```sh\n## no heading\n```"),
        ("Deep", "Two."),
        ("Underlined", "Three.\n\nA paragraph\nof two lines\n---"),
    ]


def test_markdown_with_windows_line_endings() -> None:
    """Carriage returns are not part of questions or answers."""
    assert read_entries(markdown_file.READER, "## a\r\nb\r\nc\r\n") == [Entry("a", "b\nc")]
