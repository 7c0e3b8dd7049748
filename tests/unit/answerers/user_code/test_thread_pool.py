"""The pool of threads: bounded, lazy, never in the way of the loop, and never a reason not to end."""

import asyncio
import contextvars
import functools
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from service.answerers.threads import Pool, _Job
from service.errors import AnswererFailed
from tests.answerers.gate import Gate

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """A pool of two threads."""
    pool = Pool(2)
    yield pool
    pool.close()


def counts(pool: Pool) -> tuple[int, int, int, int]:
    """Threads, busy, queued, abandoned."""
    return pool.threads, pool.busy, pool.queued, pool.abandoned


async def test_returns_and_raises(pool: Pool) -> None:
    """The awaiter gets what the call returns, or raises."""
    assert await pool.run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 / 0)


async def test_threads_start_lazily(pool: Pool) -> None:
    """No thread is started before it is needed, nor a second one while the first is free."""
    assert counts(pool) == (0, 0, 0, 0)
    for _ in range(3):
        await pool.run(int)
    assert pool.threads == 1


async def test_bounded(pool: Pool) -> None:
    """Calls beyond the threads wait, are counted as queued, and are made in order."""
    gates = [Gate() for _ in range(4)]
    tasks = [asyncio.ensure_future(pool.run(gate)) for gate in gates]
    await asyncio.gather(gates[0].begun.wait(), gates[1].begun.wait())
    assert counts(pool) == (2, 2, 2, 0)
    gates[1].open.set()
    await gates[2].begun.wait()
    assert not gates[3].begun.is_set()
    for gate in gates:
        gate.open.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1, 1]


async def test_contextvars_are_carried(pool: Pool) -> None:
    """The call sees the caller's context variables, and what it sets stays its own."""
    variable.set("mine")

    def call() -> str:
        before = variable.get()
        variable.set("thread's")
        return before

    assert await pool.run(call) == "mine"
    assert variable.get() == "mine"


async def test_left_while_queued_is_never_made(pool: Pool) -> None:
    """A call that is left before a thread takes it is not made, and no longer counted."""
    gates = [Gate() for _ in range(3)]
    tasks = [asyncio.ensure_future(pool.run(gate)) for gate in gates]
    await asyncio.gather(gates[0].begun.wait(), gates[1].begun.wait())
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    assert counts(pool) == (2, 2, 0, 0)
    for gate in gates:
        gate.open.set()
    await asyncio.gather(*tasks[:2])
    await asyncio.gather(pool.run(int), pool.run(int))
    assert gates[2].calls == 0


async def test_left_while_running_keeps_its_thread(pool: Pool) -> None:
    """A call that is left runs on, counts as abandoned, and its thread is given to nobody before it ends."""
    gates = [Gate() for _ in range(3)]
    tasks = [asyncio.ensure_future(pool.run(gate)) for gate in gates]
    await asyncio.gather(gates[0].begun.wait(), gates[1].begun.wait())
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert counts(pool) == (2, 2, 1, 1)
    gates[0].open.set()
    await gates[2].begun.wait()
    assert counts(pool) == (2, 2, 0, 0)
    gates[1].open.set()
    gates[2].open.set()
    await asyncio.gather(*tasks[1:])


async def test_fault_of_abandoned_call_is_logged() -> None:
    """Nobody gets the fault of a call that was left, so the log does."""
    gate, pool = Gate(), Pool(1)

    def call() -> None:
        gate()
        raise ValueError("late")

    with structlog.testing.capture_logs() as logs:
        task = asyncio.ensure_future(pool.run(call))
        await gate.begun.wait()
        task.cancel()
        await asyncio.wait([task])
        gate.open.set()
        await pool.run(int)  # in the same thread, and so after it
    pool.close()
    assert [(each["log_level"], str(each["exc_info"])) for each in logs] == [("warning", "late")]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
async def test_exits_do_not_reach_the_loop(pool: Pool, kind: type[BaseException]) -> None:
    """What would end the loop or look like a cancellation is a failure; the thread lives on."""

    def call() -> None:
        raise kind

    with pytest.raises(AnswererFailed) as caught:
        await pool.run(call)
    assert isinstance(caught.value.__cause__, kind)
    assert await pool.run(lambda: 5) == 5
    assert pool.threads == 1


async def test_nothing_is_kept_alive() -> None:
    """A thread does not hold the objects of its last call."""
    pool = Pool(1)

    class Thing: ...

    thing = Thing()
    gone = weakref.ref(thing)
    await pool.run(functools.partial(repr, thing))
    del thing
    await pool.run(int)  # in the same thread, which has let go of the first call by now
    gc.collect()
    assert gone() is None
    pool.close()


async def test_closed_takes_no_more(pool: Pool) -> None:
    """After close, a call is refused, and one for nobody is dropped."""
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        await pool.run(int)
    pool.start(int, context=contextvars.copy_context())
    assert counts(pool) == (0, 0, 0, 0)


async def test_threads_end_when_closed() -> None:
    """Idle threads end once the pool is closed."""
    pool = Pool(1, name="ending")
    thread = await pool.run(threading.current_thread)
    pool.close()
    thread.join(10)
    assert not thread.is_alive()
    assert (thread.name, thread.daemon) == ("ending-1", True)


def test_process_ends_although_a_call_does_not() -> None:
    """A thread that never returns does not keep the process from ending."""
    code = """
import asyncio, threading
from service.answerers.threads import Pool
async def main():
    begun = asyncio.Event()
    def hang():
        loop.call_soon_threadsafe(begun.set)
        threading.Event().wait()
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(Pool(1).run(hang))
    await begun.wait()
    task.cancel()
asyncio.run(main())
print("ended")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert (ended.stdout, ended.stderr) == ("ended\n", "")


def test_loop_that_is_gone() -> None:
    """A call that outlives its loop ends in silence."""
    loop = asyncio.new_event_loop()
    job = _Job(int, contextvars.copy_context(), loop.create_future())
    loop.close()
    job.perform()
    job.hand_back()
    assert (job.value, job.fault) == (0, None)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["call", "leave", "let"]), st.integers(0, 9)), max_size=40))
def test_any_interleaving(steps: list[tuple[str, int]]) -> None:
    """However calls are made, left and let go: never more at once than threads, none lost, and all counts end at 0."""

    async def play() -> None:
        pool, gates = Pool(2, name="interleaved"), list[Gate]()
        tasks = list[asyncio.Future[int]]()
        for step, number in steps:
            if step == "call":
                gates.append(Gate())
                tasks.append(asyncio.ensure_future(pool.run(gates[-1])))
            elif tasks and step == "leave":
                tasks[number % len(tasks)].cancel()
            elif gates:
                gates[number % len(gates)].open.set()
            await asyncio.sleep(0)
            assert pool.busy <= pool.threads <= 2
            assert pool.abandoned <= pool.busy
        for gate in gates:
            gate.open.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result == 1 or isinstance(result, asyncio.CancelledError) for result in results)
        threads = [each for each in threading.enumerate() if each.name.startswith("interleaved")]
        pool.close()
        for thread in threads:
            await asyncio.to_thread(thread.join, 10)
        assert counts(pool)[1:] == (0, 0, 0)
        assert all(gate.calls <= 1 for gate in gates)

    asyncio.run(play())
