"""The line to Redis: what is sent together, who waits how long, and how it comes back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.shared.line import BATCH, TELLING, TOLD, WAITING, Away, Line
from service.shared.redis import Command
from tests.fakes import until
from tests.telemetry.captured import Captured

PROBE: Command = ("PROBE",)
LONG = 3600.0
"""A budget that is never used up."""


class FakeServer:
    """Answers each command with itself, unless a test holds it up or breaks it. The trials are no batches."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.broken: Exception | None = None
        self.results: dict[Command, Exception] = {}
        self.batches: list[Sequence[Command]] = []
        self.trials = 0
        self.cancelled = 0
        self.closed = False
        self.quick_once = False

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Answer."""
        if commands == [PROBE]:
            self.trials += 1
        else:
            self.batches.append(commands)
        try:
            await (asyncio.Event() if self.quick_once and self.trials % 2 == 0 else self.go).wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.broken:
            raise self.broken
        return [self.results.get(command, command) for command in commands]

    async def close(self) -> None:
        """Note that it was called."""
        self.closed = True


@asynccontextmanager
async def opened(
    server: FakeServer, *, budget: float = LONG, pause: float = 0.0, up: bool = True
) -> AsyncIterator[Line]:
    """A line that is open, and up unless told otherwise."""
    line = Line(server, PROBE, budget=budget, pause=pause)
    async with line.opened():
        if up:
            await until(lambda: line.up)
        yield line
    assert server.closed
    assert not line._waiting


async def test_a_command_gets_its_result() -> None:
    """Each who asks gets the result of its own command."""
    async with opened(FakeServer()) as line:
        assert await line.ask(("GET", "a")) == ("GET", "a")
        assert line.statistics().succeeded == 3  # two trials before


async def test_what_comes_meanwhile_is_sent_together() -> None:
    """While a batch is under way others wait; then all of them are the next batch, up to its size, in their order."""
    server = FakeServer()
    async with opened(server) as line:
        server.go.clear()
        asked = [asyncio.create_task(line.ask(("GET", number))) for number in range(BATCH + 10)]
        await until(lambda: server.batches)
        late = asyncio.create_task(line.ask(("GET", "late")))
        await asyncio.sleep(0)
        server.go.set()
        assert [result[1] for result in await asyncio.gather(*asked)] == list(range(BATCH + 10))
        assert await late == ("GET", "late")
        assert [len(batch) for batch in server.batches] == [BATCH, 11]


async def test_nobody_waits_for_what_is_told() -> None:
    """What is told is sent a few at a time beside what is asked, and dropped above a bound."""
    server = FakeServer()
    async with opened(server) as line:
        server.go.clear()
        held = asyncio.create_task(line.ask(("GET", "held")))
        await until(lambda: server.batches)
        for number in range(TOLD + 5):
            line.tell(("SET", number))
        assert (len(line._told), line.statistics().skipped) == (TOLD, 5)
        asked = asyncio.create_task(line.ask(("GET", "a")))
        await asyncio.sleep(0)
        server.go.set()
        await asyncio.gather(held, asked)
        await until(lambda: not line._told)
        assert server.batches[1] == [("GET", "a"), *(("SET", number) for number in range(TELLING))]
        assert sum(map(len, server.batches)) == TOLD + 2


async def test_too_many_go_without() -> None:
    """Above a bound nobody waits: who asks then is told that Redis is away."""
    server = FakeServer()
    async with opened(server) as line:
        server.go.clear()
        asked = [asyncio.create_task(line.ask(("GET", number))) for number in range(WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Away):
            await line.ask(("GET", "one too many"))
        server.go.set()
        await asyncio.gather(*asked)


async def test_before_it_is_there_nobody_waits() -> None:
    """Not opened, or not yet answered: away at once."""
    server = FakeServer()
    with pytest.raises(Away):
        await Line(server, PROBE).ask(("GET", "a"))
    server.go.clear()
    async with opened(server, up=False) as line:
        line.tell(("SET", "a"))
        with pytest.raises(Away):
            await line.ask(("GET", "a"))
        assert (line.statistics().up, line.statistics().skipped) == (False, 2)


async def test_a_slow_server_is_left_alone() -> None:
    """Past the budget all that wait go without, the batch is cancelled, the next ask is away at once; then it heals."""
    server = FakeServer()
    with Captured() as log:
        async with opened(server, budget=0.05) as line:
            server.go.clear()
            asked = [asyncio.create_task(line.ask(("GET", number))) for number in range(3)]
            await until(lambda: server.batches)
            asked.append(asyncio.create_task(line.ask(("GET", "behind"))))
            began = asyncio.get_running_loop().time()
            assert all(isinstance(fault, Away) for fault in await asyncio.gather(*asked, return_exceptions=True))
            assert asyncio.get_running_loop().time() - began < 1
            assert (line.up, server.cancelled, line.statistics().slow) == (False, 1, 3)
            with pytest.raises(Away):
                await line.ask(("GET", "a"))
            server.go.set()
            await until(lambda: line.up)
            assert await line.ask(("GET", "a")) == ("GET", "a")
        events = [line["event"] for line in log.lines()]
        assert events == ["redis up", "redis away", "redis up"]


async def test_a_broken_server_is_tried_again() -> None:
    """One line says that it is away, however many trials fail; one more when it is back."""
    server = FakeServer()
    with Captured() as log:
        async with opened(server) as line:
            server.broken = ConnectionError("refused")
            with pytest.raises(Away):
                await line.ask(("GET", "a"))
            await until(lambda: server.trials > 20)
            assert [line["event"] for line in log.lines()] == ["redis up", "redis away"]
            assert log.lines()[1]["error"] == "ConnectionError: refused"
            server.broken = None
            await until(lambda: line.up)
        assert [line["event"] for line in log.lines()] == ["redis up", "redis away", "redis up"]


async def test_a_server_that_was_never_there_is_told_of_once() -> None:
    """The first failure is news although nothing has changed."""
    server = FakeServer()
    server.broken = ConnectionError("refused")
    with Captured() as log:
        async with opened(server, up=False):
            await until(lambda: server.trials > 5)
        assert [line["event"] for line in log.lines()] == ["redis away"]


async def test_one_refused_command_is_enough() -> None:
    """An error instead of a result leaves the others theirs, and ends in a trial: a full Redis refuses all to come."""
    server = FakeServer()
    server.results[("SET", "b")] = RuntimeError("OOM")
    async with opened(server) as line:
        found = await asyncio.gather(
            *(line.ask(command) for command in [("GET", "a"), ("SET", "b"), ("GET", "c")]), return_exceptions=True
        )
        assert [isinstance(result, Away) for result in found] == [False, True, False]
        await until(lambda: server.trials == 4 and line.up)
        assert line.statistics().failed == 1


async def test_who_leaves_disturbs_nobody() -> None:
    """A cancelled ask leaves the batch and the results of the others as they are."""
    server = FakeServer()
    async with opened(server) as line:
        server.go.clear()
        gone, stays = (asyncio.create_task(line.ask(("GET", name))) for name in ("gone", "stays"))
        await until(lambda: server.batches)
        gone.cancel()
        await asyncio.wait({gone})
        server.go.set()
        assert await stays == ("GET", "stays")
        assert line.up


async def test_a_trial_must_be_quick() -> None:
    """A server that answers, and never within the budget, stays away."""
    server = FakeServer()
    server.quick_once = True
    async with opened(server, budget=0.001, up=False) as line:
        await until(lambda: server.cancelled > 5)
        assert (line.up, server.trials) == (False, 2 * server.cancelled)


async def test_a_loop_that_stood_still_is_excused_once() -> None:
    """A late timer says nothing of Redis; two in a row are not excused, or a Redis that hangs would be waited for."""
    server = FakeServer()
    async with opened(server) as line:
        server.go.clear()
        line._budget = -1.0  # over already, and by more than a timer is late
        for excused in (True, False):
            with pytest.raises(Away):
                await line.ask(("GET", "a"))
            await asyncio.sleep(0)
            assert line.up is excused


async def test_the_end_leaves_nobody_waiting() -> None:
    """When the line closes, all that wait are told."""
    server = FakeServer()
    async with opened(server) as line:
        server.go.clear()
        asked = [asyncio.create_task(line.ask(("GET", number))) for number in range(BATCH + 1)]
        await until(lambda: server.batches)
    assert all(isinstance(fault, Away) for fault in await asyncio.gather(*asked, return_exceptions=True))
