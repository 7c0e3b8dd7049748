"""Load of a book: progress, cancellation and the memory that it frees."""

import ctypes
import threading
from pathlib import Path

import pytest

from askd.answerers.book import snapshot_builder


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
