"""The line to Redis: what many ask at the same time is sent together, and nobody waits for a Redis that is away.

    away ── it answers twice, the second time within the budget ──▶ up ── too slow, broken, or a refusal ──▶ away
      ▲── it does not: 0.1s, 0.2s … 3.2s until the next trial ──│

One batch is under way at a time, over one connection, and the next takes all that came meanwhile: so a busy replica
spends a fraction of a round trip on each question, and a client that leaves leaves no reply behind. A batch has what is
left of the time of whoever waited longest, so that nobody waits longer than the budget; when it fails, all that wait
are told at once.

A loop that stood still itself finds every timer late and every reply unread: that says nothing of Redis, and is
excused, though not twice in a row.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from service.shared.redis import Command, Server

BUDGET: Final = 0.05
"""Seconds that a question waits for Redis at most; slower is as good as gone."""
PAUSE: Final = 0.1
"""Seconds until the first trial; doubled by each that fails, and by each return that did not last."""
LONGEST_PAUSE: Final = 3.2
"""Seconds: a Redis that is back is found after this at the latest."""
TRIAL: Final = 1.0
"""Seconds that a trial may take to connect: name look-up and TLS included, for nobody waits for it."""
LATE: Final = 0.01
"""Seconds by which a timer is late when the loop, not Redis, was slow."""
BATCH: Final = 128
"""Commands that are sent together at most: a millisecond of Redis."""
WAITING: Final = 1024
"""Commands that wait at most: whoever comes then goes without Redis."""
TELLING: Final = 4
"""Of a batch, the commands that nobody waits for at most: they may be large."""
TOLD: Final = 256
"""Commands that nobody waits for, kept at most; further ones are dropped."""

_log = structlog.get_logger("askd.redis")


class Away(Exception):
    """Redis is slow or gone; go on without it."""


class LineStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Whether Redis is there, and what became of all commands. `skipped` were never sent, because it was away."""

    up: bool
    succeeded: int
    slow: int
    failed: int
    skipped: int


class _Sent(NamedTuple):
    command: Command
    since: float
    reply: "asyncio.Future[Any] | None"


class Line:
    """Sends commands to one Redis. `probe` is a command whose success shows that others will do.

    `budget` and `pause`, the first between two trials, are in seconds.
    """

    def __init__(self, server: Server, probe: Command, *, budget: float = BUDGET, pause: float = PAUSE) -> None:
        self._server = server
        self._probe = probe
        self._budget = budget
        self._pause = self._first_pause = pause
        self._waiting: deque[_Sent] = deque()
        self._told: deque[_Sent] = deque()
        self._news = asyncio.Event()
        self._excused = False
        self._counts = dict.fromkeys(("succeeded", "slow", "failed", "skipped"), 0)
        self.up = False

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Look for Redis in the background, until the end of the block; the start does not wait for it."""
        keeping = asyncio.create_task(self._keep())
        keeping.add_done_callback(lambda _: self._give_up())  # whatever ended it, nobody waits for what never comes
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            with contextlib.suppress(Exception):
                async with asyncio.timeout(TRIAL):
                    await self._server.close()

    async def ask(self, command: Command) -> Any:
        """Return the result of a command. Raises Away, at once where Redis is known to be so."""
        if not self.up or len(self._waiting) >= WAITING:
            self._counts["skipped"] += 1
            raise Away
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Sent(command, loop.time(), reply))
        self._news.set()
        return await reply

    def tell(self, command: Command) -> None:
        """Send a command soon, without anybody waiting for it; dropped where Redis is away or too many are waiting."""
        if not self.up or len(self._told) >= TOLD:
            self._counts["skipped"] += 1
            return
        self._told.append(_Sent(command, asyncio.get_running_loop().time(), None))
        self._news.set()

    def statistics(self) -> LineStatistics:
        """Return what is counted now; safe from any thread."""
        return LineStatistics(up=self.up, **self._counts)

    async def _keep(self) -> None:
        told = False  # of the first failure, there is news even though nothing has changed
        while True:
            while (fault := await self._trial()) is not None:
                if not told:
                    self._say(fault)
                    told = True
                await self._rest()
            self.up = told = True
            self._say(None)
            began = asyncio.get_running_loop().time()
            fault = await self._work()
            self._give_up()
            self._say(fault)
            if asyncio.get_running_loop().time() - began > LONGEST_PAUSE:
                self._pause = self._first_pause
            await self._rest()

    async def _rest(self) -> None:
        """Wait until the next trial; replicas that lost Redis together come back one by one."""
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the load, guards nothing
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _trial(self) -> str | None:
        """Return None if Redis is there and quick, else what is wrong."""
        for seconds in (TRIAL, self._budget):
            fault = await self._exchange([_Sent(self._probe, 0.0, None)], seconds)
            if fault is not None or self._excused:
                return fault or "no answer in time, while this process itself stood still"
        return None

    async def _work(self) -> str:
        """Send batch after batch until one fails; return what was wrong."""
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting or self._told:
                batch = self._next()
                began = min((sent.since for sent in batch if sent.reply), default=loop.time())
                fault = await self._exchange(batch, began + self._budget - loop.time())
                if fault is not None:
                    return fault

    def _next(self) -> list[_Sent]:
        """Take what is sent together: first what is waited for."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))]
        return batch + [self._told.popleft() for _ in range(min(len(self._told), TELLING))]

    async def _exchange(self, batch: list[_Sent], seconds: float) -> str | None:
        """Send a batch and hand its results out. Returns what is wrong with Redis, None where nothing is."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        results: list[Any] = [Away()] * len(batch)
        fault: str | None = None
        try:
            async with asyncio.timeout_at(due):
                results = await self._server.run([sent.command for sent in batch])
        except TimeoutError:
            self._counts["slow"] += len(batch)
            self._excused = not self._excused and loop.time() - due > LATE
            fault = None if self._excused else f"no answer in time, which is {self._budget * 1e3:g} ms for a question"
        except Exception as error:
            self._counts["failed"] += len(batch)
            fault = _words(error)
        else:
            self._excused = False
            fault = self._counted(results)
        finally:
            _hand_out(batch, results)
        return fault

    def _counted(self, results: list[Any]) -> str | None:
        refused = [result for result in results if isinstance(result, Exception)]
        self._counts["failed"] += len(refused)
        self._counts["succeeded"] += len(results) - len(refused)
        return _words(refused[0]) if refused else None

    def _give_up(self) -> None:
        """Tell all that wait that Redis is away, and drop what nobody waits for."""
        self.up = False
        waiting = [*self._waiting, *self._told]
        self._counts["skipped"] += len(waiting)
        self._waiting.clear()
        self._told.clear()
        _hand_out(waiting, [Away()] * len(waiting))

    def _say(self, fault: str | None) -> None:
        if fault is None:
            _log.info("redis up")
        else:
            _log.warning("redis away", error=fault, meanwhile="each replica holds its own rates and answers")


def _hand_out(batch: list[_Sent], results: list[Any]) -> None:
    for sent, result in zip(batch, results, strict=True):
        if sent.reply is not None and not sent.reply.done():  # who left has cancelled it
            if isinstance(result, Exception):
                sent.reply.set_exception(Away())
            else:
                sent.reply.set_result(result)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
