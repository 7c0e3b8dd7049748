"""Time for which a thread waits for a CPU."""

from pathlib import Path

import pytest

from askd.guards.concurrency import cpu_wait


def test_seconds_come_from_the_second_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Linux counts nanoseconds in the run queue."""
    file = tmp_path / "schedstat"
    file.write_text("300000000 1500000000 42\n")
    monkeypatch.setattr(cpu_wait, "_SCHEDSTAT", file)
    assert cpu_wait.thread_cpu_wait() == 1.5


@pytest.mark.parametrize("text", [None, "", "1\n", "a b c\n"])
def test_zero_if_the_system_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None) -> None:
    """Without the file, or in another format, no thread ever waits."""
    file = tmp_path / "schedstat"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(cpu_wait, "_SCHEDSTAT", file)
    assert cpu_wait.thread_cpu_wait() == 0.0


def test_it_never_decreases() -> None:
    """The time of this thread only grows."""
    values = [cpu_wait.thread_cpu_wait() for _ in range(3)]
    assert 0.0 <= values[0] <= values[1] <= values[2]
