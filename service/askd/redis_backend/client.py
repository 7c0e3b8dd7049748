"""Redis client that batches concurrent commands, and fails immediately while Redis is unavailable.

    unavailable ── two replies, the second within the timeout ──▶ available ── timeout or error ──▶ unavailable
        ▲── otherwise: next probe after 0.1 s, 0.2 s … 3.2 s ──│

One batch is in flight at a time, over one connection; the next batch takes all commands that arrived in the meantime.
So a busy replica spends a fraction of a round trip on each request, and a cancelled command leaves no unread reply on
the connection. The timeout of a batch is the time left for its oldest command, so no command waits longer than the
timeout. If a batch fails, all waiting commands fail immediately.

If the event loop itself stalled, every timer fires late and every reply is unread, which proves nothing about Redis.
Such a timeout is excused, but not twice in a row.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from askd.redis_backend.connection import Command, CommandRunner

COMMAND_TIMEOUT: Final = 0.05
"""Maximum seconds that a request waits for Redis. A slower Redis counts as unavailable."""
INITIAL_BACKOFF: Final = 0.1
"""Seconds until the first probe; doubled by each that fails, and whenever Redis was available only briefly."""
MAX_BACKOFF: Final = 3.2
"""Maximum seconds between probes, and thus until a Redis that is back is used again."""
CONNECT_TIMEOUT: Final = 1.0
"""Seconds for the first command of a probe, including DNS and TLS. Long, because no request waits for it."""
LOOP_STALL_THRESHOLD: Final = 0.01
"""Seconds by which a timer fires late if the event loop, and not Redis, was slow."""
MAX_BATCH_SIZE: Final = 128
"""Maximum number of commands in a batch: about a millisecond of Redis."""
MAX_PENDING: Final = 1024
"""Maximum number of waiting commands. Further ones fail immediately."""
MAX_BACKGROUND_PER_BATCH: Final = 4
"""Maximum number of background commands in a batch, because they may be large."""
MAX_BACKGROUND: Final = 256
"""Maximum number of queued background commands. Further ones are dropped."""

_log = structlog.get_logger("askd.redis")


class RedisUnavailable(Exception):
    """Redis is slow or not reachable; continue without it."""


class RedisStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Whether Redis is available, and the number of commands by result since the start."""

    is_up: bool
    succeeded: int
    slow: int
    """Commands that timed out."""
    failed: int
    skipped: int
    """Commands that were not sent, because Redis was unavailable or too many were queued."""


class _QueuedCommand(NamedTuple):
    command: Command
    enqueued_at: float
    reply: "asyncio.Future[Any] | None"


class BatchingRedisClient:
    """Sends commands to one Redis.

    Args:
        connection: Runs the commands.
        probe_command: Command whose success shows that other commands will work.
        timeout: Maximum seconds for a command.
        initial_backoff: Seconds until the first probe.
    """

    def __init__(
        self,
        connection: CommandRunner,
        probe_command: Command,
        *,
        timeout: float = COMMAND_TIMEOUT,
        initial_backoff: float = INITIAL_BACKOFF,
    ) -> None:
        self._connection = connection
        self._probe_command = probe_command
        self._timeout = timeout
        self._backoff = self._initial_backoff = initial_backoff
        self._pending: deque[_QueuedCommand] = deque()
        self._background: deque[_QueuedCommand] = deque()
        self._wakeup = asyncio.Event()
        self._timeout_excused = False
        self._counts = dict.fromkeys(("succeeded", "slow", "failed", "skipped"), 0)
        self.is_up = False

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Maintain the connection in the background until the block ends. Entering does not wait for Redis."""
        maintainer = asyncio.create_task(self._maintain_connection())
        maintainer.add_done_callback(lambda _: self._fail_pending())  # however it ended, no command waits forever
        try:
            yield
        finally:
            maintainer.cancel()
            await asyncio.wait({maintainer})
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await self._connection.close()

    async def execute(self, command: Command) -> Any:
        """Return the result of a command. Raises RedisUnavailable, immediately if Redis is known to be unavailable."""
        if not self.is_up or len(self._pending) >= MAX_PENDING:
            self._counts["skipped"] += 1
            raise RedisUnavailable
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        self._pending.append(_QueuedCommand(command, loop.time(), reply))
        self._wakeup.set()
        return await reply

    def execute_in_background(self, command: Command) -> None:
        """Send a command without waiting for its result. Dropped if Redis is unavailable or too many are queued."""
        if not self.is_up or len(self._background) >= MAX_BACKGROUND:
            self._counts["skipped"] += 1
            return
        self._background.append(_QueuedCommand(command, asyncio.get_running_loop().time(), None))
        self._wakeup.set()

    def statistics(self) -> RedisStatistics:
        """Return the statistics. Safe to call from any thread."""
        return RedisStatistics(is_up=self.is_up, **self._counts)

    async def _maintain_connection(self) -> None:
        state_logged = False  # so that the first failure is logged although Redis was not available before
        while True:
            while (error := await self._check_availability()) is not None:
                if not state_logged:
                    self._log_state(error)
                    state_logged = True
                await self._sleep_backoff()
            self.is_up = state_logged = True
            self._log_state(None)
            available_since = asyncio.get_running_loop().time()
            error = await self._send_batches()
            self._fail_pending()
            self._log_state(error)
            if asyncio.get_running_loop().time() - available_since > MAX_BACKOFF:
                self._backoff = self._initial_backoff
            await self._sleep_backoff()

    async def _sleep_backoff(self) -> None:
        """Wait until the next probe, with jitter, because all replicas lose Redis at the same time."""
        await asyncio.sleep(self._backoff * random.uniform(0.5, 1.0))  # noqa: S311 - not for cryptography
        self._backoff = min(2 * self._backoff, MAX_BACKOFF)

    async def _check_availability(self) -> str | None:
        """Send two probes, the first of which may connect. Returns an error message, or None if both succeeded."""
        for timeout in (CONNECT_TIMEOUT, self._timeout):
            error = await self._send_batch([_QueuedCommand(self._probe_command, 0.0, None)], timeout)
            if error is not None or self._timeout_excused:
                return error or "timed out while the event loop was stalled"
        return None

    async def _send_batches(self) -> str:
        """Send batches until one fails; return the error message."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._pending or self._background:
                batch = self._next_batch()
                oldest = min((queued.enqueued_at for queued in batch if queued.reply), default=loop.time())
                error = await self._send_batch(batch, oldest + self._timeout - loop.time())
                if error is not None:
                    return error

    def _next_batch(self) -> list[_QueuedCommand]:
        batch = [self._pending.popleft() for _ in range(min(len(self._pending), MAX_BATCH_SIZE))]
        return batch + [self._background.popleft() for _ in range(min(len(self._background), MAX_BACKGROUND_PER_BATCH))]

    async def _send_batch(self, batch: list[_QueuedCommand], timeout: float) -> str | None:
        """Send a batch and deliver its results. Returns an error message if Redis must count as unavailable."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        results: list[Any] = [RedisUnavailable()] * len(batch)
        message: str | None = None
        try:
            async with asyncio.timeout_at(deadline):
                results = await self._connection.run([queued.command for queued in batch])
        except TimeoutError:
            self._counts["slow"] += len(batch)
            self._timeout_excused = not self._timeout_excused and loop.time() - deadline > LOOP_STALL_THRESHOLD
            message = None if self._timeout_excused else f"timed out (limit {self._timeout * 1e3:g} ms per command)"
        except Exception as error:
            self._counts["failed"] += len(batch)
            message = _format_error(error)
        else:
            self._timeout_excused = False
            message = self._count_results(results)
        finally:
            _deliver_results(batch, results)
        return message

    def _count_results(self, results: list[Any]) -> str | None:
        errors = [result for result in results if isinstance(result, Exception)]
        self._counts["failed"] += len(errors)
        self._counts["succeeded"] += len(results) - len(errors)
        return _format_error(errors[0]) if errors else None

    def _fail_pending(self) -> None:
        """Mark Redis as unavailable, fail all waiting commands, and drop the background commands."""
        self.is_up = False
        queued_commands = [*self._pending, *self._background]
        self._counts["skipped"] += len(queued_commands)
        self._pending.clear()
        self._background.clear()
        _deliver_results(queued_commands, [RedisUnavailable()] * len(queued_commands))

    def _log_state(self, error: str | None) -> None:
        if error is None:
            _log.info("redis_available")
        else:
            _log.warning("redis_unavailable", error=error, fallback="per-replica rate limits and cache")


def _deliver_results(batch: list[_QueuedCommand], results: list[Any]) -> None:
    for queued, result in zip(batch, results, strict=True):
        if queued.reply is not None and not queued.reply.done():  # done: the caller was cancelled
            if isinstance(result, Exception):
                queued.reply.set_exception(RedisUnavailable())
            else:
                queued.reply.set_result(result)


def _format_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
