"""Memory is given back to the operating system after a peak."""

from askd.httpserver.memory_trim import MAX_INTERVAL, MIN_INTERVAL, FreeMemory
from tests.support.fakes import Clock

MIB = 1 << 20


class Process:
    """A process with this memory in MiB, a part of which can be given back."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.resident = 50
        self.free = 0
        self.trims: list[float] = []
        self.memory = FreeMemory(trim=self._trim, resident_bytes=lambda: self.resident * MIB, clock=self.clock)

    def _trim(self) -> None:
        self.trims.append(self.clock.now)
        self.resident -= self.free
        self.free = 0

    def run(self, seconds: float) -> None:
        """Check every quarter of a second."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)
            self.memory.check()


def test_memory_is_given_back_after_a_peak() -> None:
    """Ten seconds after the start, and after the last time that was worth it."""
    process = Process()
    process.resident, process.free = 200, 140
    process.run(MIN_INTERVAL)
    assert (process.resident, len(process.trims)) == (60, 1)
    process.resident, process.free = 200, 140
    process.run(MIN_INTERVAL)
    assert (process.resident, len(process.trims)) == (60, 2)


def test_memory_in_use_is_not_searched_often() -> None:
    """If nothing can be given back, the interval doubles up to its maximum."""
    process = Process()
    process.resident = 500
    process.run(10 * MAX_INTERVAL)
    pauses = [later - earlier for earlier, later in zip(process.trims, process.trims[1:], strict=False)]
    assert pauses[:3] == [20.0, 40.0, 80.0]
    assert set(pauses[3:]) == {MAX_INTERVAL}


def test_small_process_is_left_alone() -> None:
    """A process that is as small as at its start has nothing to give back."""
    process = Process()
    process.run(100.0)
    assert not process.trims


def test_real_process() -> None:
    """malloc_trim and the memory of this process can be read; elsewhere, the check does nothing."""
    clock = Clock()
    memory = FreeMemory(clock=clock)
    clock.advance(MIN_INTERVAL)
    memory.check()
