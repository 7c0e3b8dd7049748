"""The batching Redis client: batches, timeouts, and recovery."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from askd.redis_backend.client import (
    MAX_BACKGROUND,
    MAX_BACKGROUND_PER_BATCH,
    MAX_BATCH_SIZE,
    MAX_PENDING,
    BatchingRedisClient,
    RedisUnavailable,
)
from askd.redis_backend.connection import Command
from tests.support.fakes import wait_until
from tests.support.log_capture import LogCapture

PROBE: Command = ("PROBE",)
LONG_TIMEOUT = 3600.0


class FakeServer:
    """Replies to each command with the command itself, unless the test delays or breaks it."""

    def __init__(self) -> None:
        self.may_reply = asyncio.Event()
        self.may_reply.set()
        self.error: Exception | None = None
        self.errors_by_command: dict[Command, Exception] = {}
        self.batches: list[Sequence[Command]] = []  # without the probes
        self.probe_count = 0
        self.cancelled_count = 0
        self.closed = False
        self.second_probe_hangs = False

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Reply to the commands."""
        if commands == [PROBE]:
            self.probe_count += 1
        else:
            self.batches.append(commands)
        hangs = self.second_probe_hangs and self.probe_count % 2 == 0
        try:
            await (asyncio.Event() if hangs else self.may_reply).wait()
        except asyncio.CancelledError:
            self.cancelled_count += 1
            raise
        if self.error:
            raise self.error
        return [self.errors_by_command.get(command, command) for command in commands]

    async def close(self) -> None:
        """Record the call."""
        self.closed = True


@asynccontextmanager
async def running_client(
    server: FakeServer, *, timeout: float = LONG_TIMEOUT, initial_backoff: float = 0.0, wait_until_up: bool = True
) -> AsyncIterator[BatchingRedisClient]:
    """Run a client, by default one that has found Redis available."""
    client = BatchingRedisClient(server, PROBE, timeout=timeout, initial_backoff=initial_backoff)
    async with client.lifespan():
        if wait_until_up:
            await wait_until(lambda: client.is_up)
        yield client
    assert server.closed
    assert not client._pending


async def test_result_of_a_command() -> None:
    """A command gets its own result."""
    async with running_client(FakeServer()) as client:
        assert await client.execute(("GET", "a")) == ("GET", "a")
        assert client.statistics().succeeded == 3  # including two probes


async def test_concurrent_commands_are_batched() -> None:
    """Commands that arrive while a batch is in flight make up the next one, in order and up to the batch size."""
    server = FakeServer()
    async with running_client(server) as client:
        server.may_reply.clear()
        tasks = [asyncio.create_task(client.execute(("GET", number))) for number in range(MAX_BATCH_SIZE + 10)]
        await wait_until(lambda: server.batches)
        late_task = asyncio.create_task(client.execute(("GET", "late")))
        await asyncio.sleep(0)
        server.may_reply.set()
        assert [result[1] for result in await asyncio.gather(*tasks)] == list(range(MAX_BATCH_SIZE + 10))
        assert await late_task == ("GET", "late")
        assert [len(batch) for batch in server.batches] == [MAX_BATCH_SIZE, 11]


async def test_background_commands() -> None:
    """A few background commands are added to each batch; above a limit they are dropped."""
    server = FakeServer()
    async with running_client(server) as client:
        server.may_reply.clear()
        first_task = asyncio.create_task(client.execute(("GET", "first")))
        await wait_until(lambda: server.batches)
        for number in range(MAX_BACKGROUND + 5):
            client.execute_in_background(("SET", number))
        assert (len(client._background), client.statistics().skipped) == (MAX_BACKGROUND, 5)
        second_task = asyncio.create_task(client.execute(("GET", "second")))
        await asyncio.sleep(0)
        server.may_reply.set()
        await asyncio.gather(first_task, second_task)
        await wait_until(lambda: not client._background)
        background = [("SET", number) for number in range(MAX_BACKGROUND_PER_BATCH)]
        assert server.batches[1] == [("GET", "second"), *background]
        assert sum(map(len, server.batches)) == MAX_BACKGROUND + 2


async def test_number_of_waiting_commands_is_bounded() -> None:
    """Above the limit, commands fail immediately."""
    server = FakeServer()
    async with running_client(server) as client:
        server.may_reply.clear()
        tasks = [asyncio.create_task(client.execute(("GET", number))) for number in range(MAX_PENDING)]
        await asyncio.sleep(0)
        with pytest.raises(RedisUnavailable):
            await client.execute(("GET", "one too many"))
        server.may_reply.set()
        await asyncio.gather(*tasks)


async def test_commands_fail_before_redis_is_available() -> None:
    """Commands fail immediately if the client is not running, or has no reply to its probes yet."""
    server = FakeServer()
    with pytest.raises(RedisUnavailable):
        await BatchingRedisClient(server, PROBE).execute(("GET", "a"))
    server.may_reply.clear()
    async with running_client(server, wait_until_up=False) as client:
        client.execute_in_background(("SET", "a"))
        with pytest.raises(RedisUnavailable):
            await client.execute(("GET", "a"))
        assert (client.statistics().is_up, client.statistics().skipped) == (False, 2)


async def test_timeout_and_recovery() -> None:
    """A timeout cancels the batch and fails all waiting and later commands, until Redis replies again."""
    server = FakeServer()
    with LogCapture() as log:
        async with running_client(server, timeout=0.05) as client:
            server.may_reply.clear()
            tasks = [asyncio.create_task(client.execute(("GET", number))) for number in range(3)]
            await wait_until(lambda: server.batches)
            tasks.append(asyncio.create_task(client.execute(("GET", "waiting"))))
            started_at = asyncio.get_running_loop().time()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, RedisUnavailable) for result in results)
            assert asyncio.get_running_loop().time() - started_at < 1
            assert (client.is_up, server.cancelled_count, client.statistics().slow) == (False, 1, 3)
            with pytest.raises(RedisUnavailable):
                await client.execute(("GET", "a"))
            server.may_reply.set()
            await wait_until(lambda: client.is_up)
            assert await client.execute(("GET", "a")) == ("GET", "a")
        events = [line["event"] for line in log.lines()]
        assert events == ["redis_available", "redis_unavailable", "redis_available"]


async def test_state_changes_are_logged_once() -> None:
    """An outage is logged once, however many probes fail, and so is the recovery."""
    server = FakeServer()
    with LogCapture() as log:
        async with running_client(server) as client:
            server.error = ConnectionError("refused")
            with pytest.raises(RedisUnavailable):
                await client.execute(("GET", "a"))
            await wait_until(lambda: server.probe_count > 20)
            assert [line["event"] for line in log.lines()] == ["redis_available", "redis_unavailable"]
            assert log.lines()[1]["error"] == "ConnectionError: refused"
            server.error = None
            await wait_until(lambda: client.is_up)
        events = [line["event"] for line in log.lines()]
        assert events == ["redis_available", "redis_unavailable", "redis_available"]


async def test_unavailable_at_the_start_is_logged_once() -> None:
    """The first failed probe is logged although the state has not changed."""
    server = FakeServer()
    server.error = ConnectionError("refused")
    with LogCapture() as log:
        async with running_client(server, wait_until_up=False):
            await wait_until(lambda: server.probe_count > 5)
        assert [line["event"] for line in log.lines()] == ["redis_unavailable"]


async def test_one_failed_command_leads_to_a_probe() -> None:
    """If one command of a batch fails, the others get their results, and Redis is probed: it may be out of memory."""
    server = FakeServer()
    server.errors_by_command[("SET", "b")] = RuntimeError("OOM")
    async with running_client(server) as client:
        results = await asyncio.gather(
            *(client.execute(command) for command in [("GET", "a"), ("SET", "b"), ("GET", "c")]), return_exceptions=True
        )
        assert [isinstance(result, RedisUnavailable) for result in results] == [False, True, False]
        await wait_until(lambda: server.probe_count == 4 and client.is_up)
        assert client.statistics().failed == 1


async def test_cancelled_command_does_not_affect_others() -> None:
    """A cancelled command leaves its batch and the results of the other commands unchanged."""
    server = FakeServer()
    async with running_client(server) as client:
        server.may_reply.clear()
        cancelled, other = (asyncio.create_task(client.execute(("GET", name))) for name in ("cancelled", "other"))
        await wait_until(lambda: server.batches)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        server.may_reply.set()
        assert await other == ("GET", "other")
        assert client.is_up


async def test_second_probe_must_meet_the_timeout() -> None:
    """A server that is always slower than the timeout stays unavailable."""
    server = FakeServer()
    server.second_probe_hangs = True
    async with running_client(server, timeout=0.001, wait_until_up=False) as client:
        await wait_until(lambda: server.cancelled_count > 5)
        assert (client.is_up, server.probe_count) == (False, 2 * server.cancelled_count)


async def test_stalled_loop_is_excused_once() -> None:
    """A timeout that fires late is excused once, because the loop was slow; a second one in a row is not."""
    server = FakeServer()
    async with running_client(server) as client:
        server.may_reply.clear()
        client._timeout = -1.0  # expired for longer than LOOP_STALL_THRESHOLD
        for excused in (True, False):
            with pytest.raises(RedisUnavailable):
                await client.execute(("GET", "a"))
            await asyncio.sleep(0)
            assert client.is_up is excused


async def test_waiting_commands_fail_at_shutdown() -> None:
    """When the client stops, all waiting commands fail."""
    server = FakeServer()
    async with running_client(server) as client:
        server.may_reply.clear()
        tasks = [asyncio.create_task(client.execute(("GET", number))) for number in range(MAX_BATCH_SIZE + 1)]
        await wait_until(lambda: server.batches)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, RedisUnavailable) for result in results)
