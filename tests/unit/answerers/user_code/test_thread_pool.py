"""The thread pool: limits, counts, cancellation and shutdown."""

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
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from askd.answerers.user_code.thread_pool import ThreadPool, _Job
from askd.errors import AnswererFailed, Unavailable
from tests.support.blocking_call import BlockingCall

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.fixture
async def pool() -> AsyncIterator[ThreadPool]:
    """Create a pool of two threads."""
    pool = ThreadPool(2)
    yield pool
    pool.close()


def counts(pool: ThreadPool) -> tuple[int, int, int, int]:
    """Return the counts of threads, busy threads, queued calls and abandoned calls."""
    return pool.threads, pool.busy_threads, pool.queued_calls, pool.abandoned_calls


async def test_returns_and_raises(pool: ThreadPool) -> None:
    """The awaiter gets the result or the exception of the call."""
    assert await pool.run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 / 0)


async def test_threads_start_lazily(pool: ThreadPool) -> None:
    """A thread starts when it is needed, and idle threads are reused."""
    assert counts(pool) == (0, 0, 0, 0)
    for _ in range(3):
        await pool.run(int)
    assert pool.threads == 1


async def test_bounded(pool: ThreadPool) -> None:
    """Excess calls are queued, counted, and run in order."""
    calls = [BlockingCall() for _ in range(4)]
    tasks = [asyncio.ensure_future(pool.run(call)) for call in calls]
    await asyncio.gather(calls[0].started.wait(), calls[1].started.wait())
    assert counts(pool) == (2, 2, 2, 0)
    calls[1].release.set()
    await calls[2].started.wait()
    assert not calls[3].started.is_set()
    for call in calls:
        call.release.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1, 1]


async def test_contextvars_are_carried(pool: ThreadPool) -> None:
    """The call has the caller's context variables and does not change them for the caller."""
    variable.set("mine")

    def call() -> str:
        before = variable.get()
        variable.set("thread's")
        return before

    assert await pool.run(call) == "mine"
    assert variable.get() == "mine"


async def test_cancelled_queued_call_never_runs(pool: ThreadPool) -> None:
    """A queued call whose awaiter is cancelled does not run and is no longer counted."""
    calls = [BlockingCall() for _ in range(3)]
    tasks = [asyncio.ensure_future(pool.run(call)) for call in calls]
    await asyncio.gather(calls[0].started.wait(), calls[1].started.wait())
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    assert counts(pool) == (2, 2, 0, 0)
    for call in calls:
        call.release.set()
    await asyncio.gather(*tasks[:2])
    await asyncio.gather(pool.run(int), pool.run(int))
    assert calls[2].calls == 0


async def test_cancelled_running_call_keeps_its_thread(pool: ThreadPool) -> None:
    """A running call whose awaiter is cancelled counts as abandoned and keeps its thread until it ends."""
    calls = [BlockingCall() for _ in range(3)]
    tasks = [asyncio.ensure_future(pool.run(call)) for call in calls]
    await asyncio.gather(calls[0].started.wait(), calls[1].started.wait())
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert counts(pool) == (2, 2, 1, 1)
    calls[0].release.set()
    await calls[2].started.wait()
    assert counts(pool) == (2, 2, 0, 0)
    calls[1].release.set()
    calls[2].release.set()
    await asyncio.gather(*tasks[1:])


async def test_exception_of_abandoned_call_is_logged() -> None:
    """An exception in an abandoned call is logged, because nothing awaits it."""
    blocking_call, pool = BlockingCall(), ThreadPool(1)

    def call() -> None:
        blocking_call()
        raise ValueError("late")

    with structlog.testing.capture_logs() as logs:
        task = asyncio.ensure_future(pool.run(call))
        await blocking_call.started.wait()
        task.cancel()
        await asyncio.wait([task])
        blocking_call.release.set()
        await pool.run(int)  # in the same thread, and so after it
    pool.close()
    assert [(log["log_level"], str(log["exc_info"])) for log in logs] == [("warning", "late")]


@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
async def test_exits_do_not_reach_the_loop(pool: ThreadPool, exception: type[BaseException]) -> None:
    """Exceptions that would end the loop or look like a cancellation become AnswererFailed; the thread survives."""

    def call() -> None:
        raise exception

    with pytest.raises(AnswererFailed) as caught:
        await pool.run(call)
    assert isinstance(caught.value.__cause__, exception)
    assert await pool.run(lambda: 5) == 5
    assert pool.threads == 1


async def test_idle_threads_release_objects() -> None:
    """An idle thread does not keep the objects of its last call alive."""
    pool = ThreadPool(1)

    class Argument: ...

    argument = Argument()
    reference = weakref.ref(argument)
    await pool.run(functools.partial(repr, argument))
    del argument
    await pool.run(int)  # in the same thread, which has released the first call
    gc.collect()
    assert reference() is None
    pool.close()


async def test_closed_pool_rejects_calls(pool: ThreadPool) -> None:
    """After `close`, `run` raises and `run_in_background` does nothing."""
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        await pool.run(int)
    pool.run_in_background(int, context=contextvars.copy_context())
    assert counts(pool) == (0, 0, 0, 0)


async def test_threads_end_when_closed() -> None:
    """Idle threads end when the pool is closed."""
    pool = ThreadPool(1, name="ending")
    thread = await pool.run(threading.current_thread)
    pool.close()
    thread.join(10)
    assert not thread.is_alive()
    assert (thread.name, thread.daemon) == ("ending-1", True)


def test_running_call_does_not_keep_the_process_alive() -> None:
    """The process ends although a call never returns."""
    code = """
import asyncio, threading
from askd.answerers.user_code.thread_pool import ThreadPool
async def main():
    started = asyncio.Event()
    def hang():
        loop.call_soon_threadsafe(started.set)
        threading.Event().wait()
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(ThreadPool(1).run(hang))
    await started.wait()
    task.cancel()
asyncio.run(main())
print("ended")
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert (process.stdout, process.stderr) == ("ended\n", "")


def test_closed_loop() -> None:
    """A call that outlives its event loop ends without an error."""
    loop = asyncio.new_event_loop()
    job = _Job(int, contextvars.copy_context(), loop.create_future())
    loop.close()
    job.run()
    job.notify_waiter()
    assert (job.result, job.error) == (0, None)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["run", "cancel", "release"]), st.integers(0, 9)), max_size=40))
def test_any_interleaving(steps: list[tuple[str, int]]) -> None:
    """In any order of steps the number of threads is limited, no call is lost, and all counts end at 0."""

    async def run_steps() -> None:
        pool, calls = ThreadPool(2, name="interleaved"), list[BlockingCall]()
        tasks = list[asyncio.Future[int]]()
        for step, number in steps:
            if step == "run":
                calls.append(BlockingCall())
                tasks.append(asyncio.ensure_future(pool.run(calls[-1])))
            elif tasks and step == "cancel":
                tasks[number % len(tasks)].cancel()
            elif calls:
                calls[number % len(calls)].release.set()
            await asyncio.sleep(0)
            assert pool.busy_threads <= pool.threads <= 2
            assert pool.abandoned_calls <= pool.busy_threads
        for call in calls:
            call.release.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result == 1 or isinstance(result, asyncio.CancelledError) for result in results)
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("interleaved")]
        pool.close()
        for thread in threads:
            await asyncio.to_thread(thread.join, 10)
        assert counts(pool)[1:] == (0, 0, 0)
        assert all(call.calls <= 1 for call in calls)

    asyncio.run(run_steps())


async def test_call_waits_if_no_thread_can_be_started(pool: ThreadPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls for which the system refuses a new thread wait for one that exists; without any, they get 503."""
    starts = 0

    def start(thread: threading.Thread) -> None:
        nonlocal starts
        starts += 1
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(Unavailable):
            await pool.run(int)
    assert counts(pool) == (0, 0, 0, 0)
    call = BlockingCall()
    task = asyncio.ensure_future(pool.run(call))
    await call.started.wait()
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as lines:
        patch.setattr(threading.Thread, "start", start)
        waiting = asyncio.ensure_future(pool.run(lambda: 5))
        await asyncio.sleep(0)
        assert counts(pool) == (1, 1, 1, 0)
    assert [(line["event"], line["threads"]) for line in lines] == [("thread_start_failed", 1)]
    call.release.set()
    assert await waiting == 5
    await task
    assert (starts, counts(pool)) == (2, (1, 0, 0, 0))
