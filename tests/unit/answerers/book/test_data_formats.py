"""Tests of the readers of JSON, YAML and tables with valid files, in the shapes of public FAQs."""

import itertools
import json

import pytest
from hypothesis import given
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


def test_yaml_between_document_marks() -> None:
    """A document mark at the end begins no second document."""
    assert read_entries(yaml_file.READER, "---\n- {q: a, a: b}\n---\n# end\n") == [Entry("a", "b")]


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


@given(st.lists(ENTRY, max_size=20), st.sampled_from([None, 1]), st.integers(1, 200))
def test_json_slices_yield_all_entries(book: list[object], indent: int | None, size: int) -> None:
    """Any slice size yields the same entries, even if strings look like the end of an entry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "SLICE_BYTES", size)
        result = read_entries(json_file.READER, json.dumps(book, indent=indent))
    assert [{"ask": entry.ask, "answer": entry.answer} for entry in result] == book


ONE = [("a?", "b")]
TWO = [("a?", "b"), ("c?", "d")]

JSON_SHAPES = [
    ('[{"question": "a?", "answer": "b"}]', ONE),
    ('[{"Question": "a?", "Response": "b"}]', ONE),
    ('[{"q": "a?", "a": "b"}, {"prompt": "c?", "text": "d"}]', TWO),
    ('[{"query": "a?", "answers": ["b", "c"]}]', [("a?", "b\n\nc")]),
    ('[{"title": "a?", "content": "b"}]', ONE),
    ('[{"heading": "a?", "contents": "b"}, {"header": "c?", "body": "d"}]', TWO),
    ('{"ask": "a?", "answer": "b"}', ONE),
    ('{"faqs": [{"question": "a?", "answer": "b"}, {"question": "c?", "answer": "d"}]}', TWO),
    ('{"version": 1, "authors": [{"name": "x"}], "questions": [{"question": "a?", "answer": "b"}]}', ONE),
    ('[{"title": "g", "description": "h", "items": [{"q": "a?", "a": "b"}]}, {"more": [{"q": "c?", "a": "d"}]}]', TWO),
    ('{"general": {"title": "g", "entries": [{"q": "a?", "a": "b"}]}}', ONE),
    ('[{"canonical_question": "a?", "answerText": "b"}, {"title": "c?", "descriptions": ["d"]}]', TWO),
    ('[{"Frage": "a?", "Antwort": "b"}, {"質問": "c?", "回答": "d"}]', TWO),
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


def test_keys_with_a_language() -> None:
    """An object or a row has an entry in each language of its keys that has a text, with the other keys as fields."""
    text = """
        [{"id": 7, "created_at": 1, "question_en": "a", "answer_en": "b", "question_fr": "c", "answer_fr": "d"},
         {"question_en": "e", "answer_en": "f", "question_fr": "", "answer_fr": ""}]
    """
    fields = {"id": 7, "created_at": 1}
    english, french = {"language": "en"}, {"language": "fr"}
    expected = [
        Entry("a", "b", [], fields | english),
        Entry("c", "d", [], fields | french),
        Entry("e", "f", [], english),
    ]
    assert read_entries(json_file.READER, text) == expected
    assert json_file.READER.find_entry_lines(text.encode(), {1, 2}) == {1: 2, 2: 3}
    text = '{"id": 7, "question": {"en": "a", "Hausa": "c"}, "answer": {"en": "b", "Hausa": "d"}}'
    expected = [Entry("a", "b", [], {"language": "en", "id": 7}), Entry("c", "d", [], {"language": "Hausa", "id": 7})]
    assert read_entries(json_file.READER, text) == expected
    expected = [Entry("a", "b", [], english), Entry("c", "d", ["e"], french)]
    assert read_entries(table_file.READER, "q_en,q_fr,a_en,a_fr,keywords_fr\na,c,b,d,e\n") == expected


JSON_VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXT),
    lambda value: st.one_of(st.lists(value, max_size=3), st.dictionaries(TEXT, value, max_size=3)),
    max_leaves=5,
)
SHAPED_ENTRY = st.fixed_dictionaries({"question": TEXT, "answer": TEXT, "id": JSON_VALUE})


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
    assert read_entries(table_file.READER, "question,answer\na?, b, c,d\n") == [Entry("a?", " b, c,d")]


def test_tables_without_a_header() -> None:
    """A first line of a question and its answer is an entry, as are all further lines of two cells."""
    text = 'a?,"b, c"\nd,e\n'
    assert read_entries(table_file.READER, text) == [Entry("a?", "b, c"), Entry("d", "e")]
    assert table_file.READER.find_entry_lines(text.encode(), {0, 1}) == {0: 1, 1: 2}
    assert table_file.READER.is_book(text.encode())


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
