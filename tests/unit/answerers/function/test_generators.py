"""Generators: deltas as they come, and an end to the code when the client leaves."""

import asyncio
import contextlib
import threading

import pytest
import structlog

from service.answerers.function import Function
from service.errors import NoAnswer
from service.models import Answer, Question
from tests.answerers.function.user_code import Load, names

HI = Question(text="hi")


async def deltas(function: Function, question: Question = HI) -> list[str | Answer]:
    """All that the stream yields."""
    return [item async for item in function.stream(question)]


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_deltas_and_whole(load: Load, prefix: str) -> None:
    """Each text is a delta, empty ones and None are none, and the whole comes last with the extra fields."""
    code = f"""
        {prefix}def answer(text):
            yield "a"
            yield ""
            yield None
            yield "b"
            yield {{"sources": [1]}}
    """
    function = await load(code)
    assert function.streams
    assert await deltas(function) == ["a", "b", Answer("ab", {"sources": [1]})]


@pytest.mark.parametrize("annotation", ["Iterator[str]", "AsyncIterator[str]", "Generator[str, None, None]"])
async def test_return_annotation_says_that_it_streams(load: Load, annotation: str) -> None:
    """A plain function that returns an iterator streams when its annotation says so."""
    code = f"""
        from collections.abc import AsyncIterator, Generator, Iterator
        def answer(text) -> {annotation}: return iter(["a", "b"])
    """
    function = await load(code)
    assert function.streams
    assert await deltas(function) == ["a", "b", Answer("ab")]


async def test_plain_function_streams_at_once(load: Load) -> None:
    """Code that does not stream yields all of its answer as one delta."""
    function = await load("def answer(text): return {'answer': text, 'n': 1}")
    assert not function.streams
    assert await deltas(function) == ["hi", Answer("hi", {"n": 1})]


async def test_nothing_yielded(load: Load) -> None:
    """A generator without an item has no answer."""
    with pytest.raises(NoAnswer):
        await deltas(await load("def answer(text):\n    yield from ()"))


async def test_parameters(load: Load) -> None:
    """A generator gets its parameters as any function does."""
    function = await load("async def answer(text, n: int = 1):\n    for _ in range(n): yield text")
    question = Question(text="x", parameters=function.bind({"n": ["2"]}, textual=True))
    assert await deltas(function, question) == ["x", "x", Answer("xx")]


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_fault_after_a_delta(load: Load, prefix: str) -> None:
    """A fault in the middle arrives after the deltas before it."""
    function = await load(f"{prefix}def answer(text):\n    yield 'a'\n    raise OSError('x')")
    stream = function.stream(HI)
    assert await anext(stream) == "a"
    with pytest.raises(OSError, match="x"):
        await anext(stream)


async def test_closing_stops_an_async_generator(load: Load) -> None:
    """Closing the stream early runs the generator's `finally` before it returns."""
    code = """
        import asyncio
        seen = []
        async def answer(text):
            try:
                yield "a"
                yield "b"
            finally:
                await asyncio.sleep(0)
                seen.append("closed")
    """
    function = await load(code)
    async with contextlib.aclosing(function.stream(HI)) as stream:
        await anext(stream)
    assert names(function)["seen"] == ["closed"]


async def test_cancelling_stops_async_code(load: Load) -> None:
    """Cancelling the exchange cancels what the code awaits."""
    code = """
        import asyncio
        seen, begun = [], asyncio.Event()
        async def answer(text):
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
    """
    function = await load(code)
    inside = names(function)
    task = asyncio.ensure_future(function.answer(HI))
    await inside["begun"].wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inside["seen"] == ["cancelled"]


SLOW = """
    import contextvars, threading
    where = contextvars.ContextVar("where", default="nowhere")
    begun, open_, closed = threading.Event(), threading.Event(), threading.Event()
    seen = []
    def answer(text):
        try:
            yield where.get()
            where.set("inside")
            begun.set()
            open_.wait(10)
            yield where.get()
            yield "late"
        finally:
            seen.append(where.get())
            closed.set()
"""


async def wait(event: threading.Event) -> None:
    """Await an event of a thread, in a thread of the test's own."""
    assert await asyncio.to_thread(event.wait, 10)


async def test_one_context_for_all_items(load: Load) -> None:
    """A synchronous generator sees one context, the exchange's, whichever threads resume it."""
    function = await load(SLOW)
    inside = names(function)
    inside["open_"].set()
    inside["where"].set("outside")
    assert await deltas(function) == ["outside", "inside", "late", Answer("outsideinsidelate")]
    assert (inside["seen"], inside["where"].get()) == (["inside"], "outside")


async def test_closing_stops_a_generator_between_items(load: Load) -> None:
    """A synchronous generator that waits to be resumed is closed in a thread."""
    function = await load(SLOW)
    inside = names(function)
    async with contextlib.aclosing(function.stream(HI)) as stream:
        await anext(stream)
    await wait(inside["closed"])
    assert not inside["begun"].is_set()


async def test_cancelling_stops_a_generator_after_its_step(load: Load) -> None:
    """One that is in the middle of a step is closed as soon as it comes out; until then it keeps its thread."""
    function = await load(SLOW)
    inside = names(function)
    task = asyncio.ensure_future(deltas(function))
    await wait(inside["begun"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not inside["closed"].is_set()
    assert (function.statistics().busy, function.abandoned) == (1, 1)
    inside["open_"].set()
    await wait(inside["closed"])


async def test_cancelling_stops_a_generator_that_is_joined(load: Load) -> None:
    """Asked without streaming, a generator whose client leaves is not run to its end either."""
    function = await load(SLOW)
    inside = names(function)
    task = asyncio.ensure_future(function.answer(HI))
    await wait(inside["begun"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    inside["open_"].set()
    await wait(inside["closed"])


async def test_fault_while_closing_is_logged(load: Load) -> None:
    """Nobody waits for the generator to be closed, so its fault goes to the log."""
    code = """
        def answer(text):
            try:
                yield "a"
            finally:
                raise OSError("late")
    """
    function = await load(code, threads=1)
    with structlog.testing.capture_logs() as logs:
        async with contextlib.aclosing(function.stream(HI)) as stream:
            await anext(stream)
        await function._pool.run(int)  # the only thread has closed the generator by then
    assert [str(each["exc_info"]) for each in logs] == ["late"]


async def test_synchronous_code_does_not_hold_up_the_loop(load: Load) -> None:
    """While a call sits in its thread, the loop goes on: it sees the call busy, and lets it go."""
    function = await load(SLOW)
    inside = names(function)
    task = asyncio.ensure_future(function.answer(HI))
    await wait(inside["begun"])
    assert function.statistics().busy == 1
    inside["open_"].set()
    assert (await task).text == "nowhereinsidelate"
