"""Tests of the readers of single files with valid files, in the shapes of public FAQs."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from askd.answerers.book.formats import Entry, FormatReader, json_file, markdown_file, table_file, yaml_file


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
    result = [(entry.ask, entry.answer) for entry in read_entries(markdown_file.READER, text)]
    assert result == [
        ("Why a?", "One.\n\n##### Detail\n```sh\n## no heading\n```"),
        ("Deep", "Two."),
        ("Underlined", "Three.\n\nA paragraph\nof two lines\n---"),
    ]


def test_markdown_with_windows_line_endings() -> None:
    """Carriage returns are not part of questions or answers."""
    assert read_entries(markdown_file.READER, "## a\r\nb\r\nc\r\n") == [Entry("a", "b\nc")]


ONE = [("a?", "b")]
TWO = [("a?", "b"), ("c?", "d")]

JSON_SHAPES = [
    ('[{"question": "a?", "answer": "b"}]', ONE),
    ('[{"Question": "a?", "Response": "b"}]', ONE),
    ('[{"q": "a?", "a": "b"}, {"prompt": "c?", "text": "d"}]', TWO),
    ('[{"query": "a?", "answers": ["b", "c"]}]', [("a?", "b\n\nc")]),
    ('[{"title": "a?", "content": "b"}]', ONE),
    ('{"ask": "a?", "answer": "b"}', ONE),
    ('{"faqs": [{"question": "a?", "answer": "b"}, {"question": "c?", "answer": "d"}]}', TWO),
    ('{"version": 1, "authors": [{"name": "x"}], "questions": [{"question": "a?", "answer": "b"}]}', ONE),
    ('[{"title": "g", "description": "h", "items": [{"q": "a?", "a": "b"}]}, {"more": [{"q": "c?", "a": "d"}]}]', TWO),
    ('{"general": {"title": "g", "entries": [{"q": "a?", "a": "b"}]}}', ONE),
    ('{"a?": "b", "c?": "d"}', TWO),
    ('{"hello": "Hi"}', [("hello", "Hi")]),
    ('{"general": {"a?": "b"}, "other": {"c?": "d"}}', TWO),
    ('[["a?", "b"], ["c?", "d"]]', TWO),
    ('{"intents": [{"tag": "t", "patterns": ["a?", ""], "responses": ["b", "c"]}]}', ONE),
    ('{"intents": [{"tag": "none", "patterns": [""], "responses": ["x"]}, {"patterns": "a?", "responses": "b"}]}', ONE),
    (
        '{"@type": "FAQPage", "mainEntity": [{"@type": "Question", "name": "a?", "acceptedAnswer": {"text": "b"}}]}',
        ONE,
    ),
]


def read_pairs(reader: FormatReader, text: str) -> list[tuple[str, str]]:
    """Return the first question and the answer of all entries of a file."""
    return [(entry.questions[0], entry.answer) for entry in read_entries(reader, text)]


@pytest.mark.parametrize("reader", [json_file.READER, yaml_file.READER], ids=["json", "yaml"])
@pytest.mark.parametrize(("text", "expected"), JSON_SHAPES)
def test_shapes_of_json_and_yaml(reader: FormatReader, text: str, expected: list[tuple[str, str]]) -> None:
    """All names of keys, wrapped lists, groups, maps, conversations and intents are read, in JSON and in YAML."""
    assert read_pairs(reader, text) == expected
    assert reader.is_book(text.encode()) == (expected != [("hello", "Hi")])


def test_conversations() -> None:
    """A conversation's first line is a question, and so is each later question; its other lines are not."""
    text = "categories:\n- c\nconversations:\n- - a\n  - b\n  - c\n  - d?\n  - e\n- - f\n  - g\n"
    assert read_pairs(yaml_file.READER, text) == [("a", "b"), ("d?", "e"), ("f", "g")]


def test_extra_fields_and_keywords() -> None:
    """Keywords are further ways of asking; other filled members are extra fields, also those of later slices."""
    text = """
        [{"id": 7, "question": "a?", "answer": "b", "keywords": "c, d e;", "tags": ["f"], "note": "", "score": 1}]
    """
    assert read_entries(json_file.READER, text) == [Entry("a?", "b", ["c", "d e"], {"id": 7, "tags": ["f"]})]
    text = (
        '[{"ask": "a", "answer": "b", "keywords": ["c"]}, {"ask": "d", "answer": "e", "extra fields": {"answer": "f"}}]'
    )
    expected = [Entry("a", "b", ["c"]), Entry("d", "e", [], {"extra fields": {"answer": "f"}})]
    assert read_entries(json_file.READER, text) == expected
    text = "- ask: [a, b]\n  answer: c\n  keyword: [d]\n  date: 2024-01-02\n  weight: 1.5\n  open: yes\n"
    fields = {"date": "2024-01-02", "weight": 1.5, "open": True}
    assert read_entries(yaml_file.READER, text) == [Entry(["a", "b"], "c", ["d"], fields)]


def test_language_of_a_group() -> None:
    """A group's `language` is a field of all its entries that have no other one."""
    text = "language: de\nfaqs:\n- {q: a, a: b}\n- {q: c, a: d, language: en}\n"
    assert [entry.fields for entry in read_entries(yaml_file.READER, text)] == [{"language": "de"}, {"language": "en"}]


JSON_VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXT),
    lambda value: st.one_of(st.lists(value, max_size=3), st.dictionaries(TEXT, value, max_size=3)),
    max_leaves=5,
)
SHAPED_ENTRY = st.fixed_dictionaries({"question": TEXT, "answer": TEXT, "id": JSON_VALUE})


@settings(deadline=None)
@given(st.lists(SHAPED_ENTRY, min_size=1, max_size=20), st.integers(1, 200))
def test_json_slices_of_other_shapes(book: list[dict[str, str]], size: int) -> None:
    """Entries with other keys and extra fields are also independent of the size of the slices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "SLICE_BYTES", size)
        result = read_pairs(json_file.READER, json.dumps(book))
    assert result == [(entry["question"], entry["answer"]) for entry in book]


def test_json_lines() -> None:
    """Each line of a JSON Lines file is an entry; blank lines are ignored."""
    text = '\ufeff{"ask": "a", "answer": "b"}\n\n{"prompt": "c", "response": "d", "id": 1}\r\n'
    assert read_entries(json_file.LINES_READER, text) == [Entry("a", "b"), Entry("c", "d", [], {"id": 1})]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables(delimiter: str) -> None:
    """The header names the columns; the delimiter is the most frequent one in it; texts may have several lines."""
    rows = [
        ["id", "Question", "Answer", "Keywords"],
        ["1", "a?", '"b\nc"', "k"],
        ["", "", "", ""],
        ["2", "d?", "e", ""],
    ]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    result = read_entries(table_file.READER, text)
    assert result == [Entry("a?", "b\nc", ["k"], {"id": "1"}), Entry("d?", "e", [], {"id": "2"})]
    assert table_file.READER.find_entry_lines(text.encode(), {0, 1}) == {0: 2, 1: 5}
    assert table_file.READER.is_book(text.encode())


def test_tables_with_forgotten_quotes() -> None:
    """A comma with a space after it does not begin a cell if the row has too many; unnamed columns are ignored."""
    text = "id,question,answer,\n1,Why a, b?,One, two.,x\n"
    assert read_entries(table_file.READER, text) == [Entry("Why a, b?", "One, two.", [], {"id": "1"})]


def read_markdown(text: str) -> list[tuple[str, str]]:
    """Return the questions and answers of a Markdown file."""
    return read_pairs(markdown_file.READER, text)


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


@pytest.mark.parametrize(
    ("reader", "text", "lines"),
    [
        (json_file.READER, '[{"ask": "a", "answer": "b"},\n{"q": "c", "a": "d"}]', [1, 2]),
        (
            json_file.READER,
            '{"x": 1, "g": {"y": "}",\n"faqs": [\n{"q": "a", "a": "b"},\n{"q": "c", "a": "d"}]}}',
            [3, 4],
        ),
        (json_file.READER, '{"a?": "b",\n"c?":\n"d"}', [1, 3]),
        (json_file.LINES_READER, '\n{"q": "a", "a": "b"}\n{"q": "c", "a": "d"}', [2, 3]),
        (yaml_file.READER, "x: 1\nfaqs:\n- q: a\n  a: b\n- g:\n  - q: c\n    a: d\n", [3, 6]),
        (yaml_file.READER, "- - a\n  - b\n- - c\n  - d\n", [1, 3]),
        (markdown_file.READER, "---\nx\n---\n# t\n**a?**\nb\n\n**c?**\nd", [5, 8]),
        (markdown_file.READER, "# t\n\na?\n---\nb\n## c\nd", [3, 6]),
    ],
)
def test_entry_lines(reader: FormatReader, text: str, lines: list[int]) -> None:
    """The line of each entry is known, however deep it is."""
    assert reader.find_entry_lines(text.encode(), {0, 1}) == dict(enumerate(lines))
    assert reader.find_entry_lines(text.encode(), {1}) == {1: lines[1]}


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (json_file.READER, '{"name": "x", "dependencies": {"query": "1"}}'),
        (json_file.READER, '{"Log in": "Anmelden"}'),
        (json_file.READER, '// {"a": 1}'),
        (json_file.LINES_READER, '{"level": "info"}\n'),
        (yaml_file.READER, "site_name: x\nnav:\n  - Home: index.md\n"),
        (table_file.READER, "date,price\n1,2\n"),
        (markdown_file.READER, "# Guide\n## Install\nx\n## Use\ny\n"),
    ],
)
def test_other_files_are_no_books(reader: FormatReader, text: str) -> None:
    """In a folder, configuration, data and documentation do not look like books."""
    assert not reader.is_book(text.encode())
