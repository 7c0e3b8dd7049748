"""Compact storage of the questions and answers of a book."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.answerers.book.packed_storage import CompactHashTable, PackedEntryStore


class CollidingString(str):
    """A string whose hash has only two values."""

    __slots__ = ()

    def __hash__(self) -> int:
        return len(self) % 2


@pytest.mark.parametrize("key_type", [str, CollidingString])
@given(keys=st.lists(st.text(max_size=3)), others=st.lists(st.text(max_size=3)))
def test_hash_table_is_like_a_dictionary(key_type: type[str], keys: list[str], others: list[str]) -> None:
    """Keys map to their first number, unknown keys to None, and duplicates are reported, even if hashes collide."""
    keys, others = [key_type(key) for key in keys], [key_type(key) for key in others]
    table, duplicates = CompactHashTable(keys.__getitem__), []
    for number, key in enumerate(keys):
        table.add(key, number)
    table.build(lambda first, second: duplicates.append((first, second)), lambda: None)
    first_numbers = {key: keys.index(key) for key in keys}
    assert {key: table.find(key) for key in keys} == first_numbers
    assert all(table.find(key) == first_numbers.get(key) for key in others)
    assert duplicates == [
        (first_numbers[key], number) for number, key in enumerate(keys) if first_numbers[key] != number
    ]


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(st.lists(TEXT, min_size=1, max_size=3), TEXT)))
def test_store_returns_stored_entries(entries: list[tuple[list[str], str]]) -> None:
    """The store returns all questions with their answers."""
    store = PackedEntryStore()
    for questions, answer in entries:
        store.add(questions, answer)
    expected = [(question, answer) for questions, answer in entries for question in questions]
    stored = [(store.get_question(number), store.get_answer(number)) for number in range(store.question_count)]
    assert stored == expected
    assert store.entry_count == len(entries)
