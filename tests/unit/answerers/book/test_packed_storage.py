"""What holds the book in little memory: it must do what a dictionary does."""

import ctypes
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answerers.book import build
from service.answerers.book.lookup import Lookup
from service.answerers.book.store import Store


class Alike(str):
    """A text whose hash says nothing."""

    __slots__ = ()

    def __hash__(self) -> int:
        return len(self) % 2


@pytest.mark.parametrize("kind", [str, Alike])
@given(keys=st.lists(st.text(max_size=3)), others=st.lists(st.text(max_size=3)))
def test_a_lookup_is_a_dictionary(kind: type[str], keys: list[str], others: list[str]) -> None:
    """Each key leads to its first number, others to none, and clashes are told, also where all hashes are alike."""
    keys, others = [kind(key) for key in keys], [kind(key) for key in others]
    lookup, clashes = Lookup(keys.__getitem__), []
    for number, key in enumerate(keys):
        lookup.note(key, number)
    lookup.settle(lambda one, other: clashes.append((one, other)), lambda: None)
    firsts = {key: keys.index(key) for key in keys}
    assert {key: lookup.find(key) for key in keys} == firsts
    assert all(lookup.find(key) == firsts.get(key) for key in others)
    assert clashes == [(firsts[key], number) for number, key in enumerate(keys) if firsts[key] != number]


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(st.lists(TEXT, min_size=1, max_size=3), TEXT)))
def test_a_store_gives_back_what_it_took(entries: list[tuple[list[str], str]]) -> None:
    """Questions, answers and which belongs to which come back as they went in."""
    store = Store()
    for questions, answer in entries:
        store.add(questions, answer)
    flat = [(question, answer) for questions, answer in entries for question in questions]
    assert [(store.question(number), store.answer(number)) for number in range(store.questions)] == flat
    assert store.entries == len(entries)


def test_progress_is_told_every_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large book says how far it has come."""
    monkeypatch.setattr(build, "_REPORT", 0.0)
    path, lines = tmp_path / "a.json", list[str]()
    path.write_text("[" + ",".join(f'{{"ask": "a{n}", "answer": "b"}}' for n in range(2500)) + "]", encoding="utf-8")
    build.build_edition(path, lines.append, threading.Event())
    read = [f"read {count} entries" for count in ("1,000", "2,000", "2,500")]
    assert lines == [*read, "read 2,500 entries, building the index"]


def test_a_cancelled_build_stops(tmp_path: Path) -> None:
    """A build that is not wanted any more ends with its next piece."""
    path, cancelled = tmp_path / "a.json", threading.Event()
    path.write_text('[{"ask": "a", "answer": "b"}]', encoding="utf-8")
    cancelled.set()
    with pytest.raises(build.Cancelled):
        build.build_edition(path, lambda line: None, cancelled)


def test_memory_is_given_back_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another C library than glibc has no malloc_trim: nothing happens then."""
    asked: list[object] = []

    def load(name: object) -> object:
        asked.append(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    build.give_back()
    assert asked == [None]
