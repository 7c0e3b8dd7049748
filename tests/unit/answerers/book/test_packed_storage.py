"""Tests of the compact storage of books and of the load that fills it."""

import ctypes
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.answerers.book import snapshot_builder
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


def test_load_reports_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load of a large book reports its progress."""
    monkeypatch.setattr(snapshot_builder, "_PROGRESS_INTERVAL", 0.0)
    path, lines = tmp_path / "a.json", list[str]()
    path.write_text("[" + ",".join(f'{{"ask": "a{n}", "answer": "b"}}' for n in range(2500)) + "]", encoding="utf-8")
    snapshot_builder.load_snapshot(path, lines.append, threading.Event())
    read = [f"read {count} entries" for count in ("1,000", "2,000", "2,500")]
    assert lines == [*read, "read 2,500 entries, building the index"]


def test_load_stops_when_cancelled(tmp_path: Path) -> None:
    """A load raises LoadCancelled once the event is set."""
    path, cancelled = tmp_path / "a.json", threading.Event()
    path.write_text('[{"ask": "a", "answer": "b"}]', encoding="utf-8")
    cancelled.set()
    with pytest.raises(snapshot_builder.LoadCancelled):
        snapshot_builder.load_snapshot(path, lambda line: None, cancelled)


def test_release_memory_without_malloc_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    """C libraries without malloc_trim cause no error."""
    loaded_names: list[object] = []

    def load_library(name: object) -> object:
        loaded_names.append(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load_library)
    snapshot_builder.release_free_memory()
    assert loaded_names == [None]
