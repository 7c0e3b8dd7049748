"""Generators: deltas as they are produced, and cancellation when the client disconnects."""

import asyncio
import contextlib
import threading

import pytest
import structlog

from askd.answerers.function import FunctionAnswerer
from askd.errors import NoAnswer
from askd.models import Answer, Question
from tests.support.user_function_fixtures import LoadFunction, module_globals

HI = Question(text="hi")


async def deltas(function: FunctionAnswerer, question: Question = HI) -> list[str | Answer]:
    """Return all items of the stream."""
    return [item async for item in function.stream(question)]


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_deltas_and_answer(load: LoadFunction, prefix: str) -> None:
    """Each text that is not empty is a delta, None is ignored, and the answer with extra fields comes last."""
    code = f"""
        {prefix}def answer(text):
            yield "a"
            yield ""
            yield None
            yield "b"
            yield {{"sources": [1]}}
    """
    function = await load(code)
    assert function.supports_streaming
    assert await deltas(function) == ["a", "b", Answer("ab", {"sources": [1]})]


@pytest.mark.parametrize("annotation", ["Iterator[str]", "AsyncIterator[str]", "Generator[str, None, None]"])
async def test_return_annotation_enables_streaming(load: LoadFunction, annotation: str) -> None:
    """A plain function that is annotated to return an iterator streams."""
    code = f"""
        from collections.abc import AsyncIterator, Generator, Iterator
        def answer(text) -> {annotation}: return iter(["a", "b"])
    """
    function = await load(code)
    assert function.supports_streaming
    assert await deltas(function) == ["a", "b", Answer("ab")]


async def test_plain_function_streams_one_delta(load: LoadFunction) -> None:
    """A function that does not stream yields its whole answer as one delta."""
    function = await load("def answer(text): return {'answer': text, 'n': 1}")
    assert not function.supports_streaming
    assert await deltas(function) == ["hi", Answer("hi", {"n": 1})]


async def test_empty_generator(load: LoadFunction) -> None:
    """A generator without items raises NoAnswer."""
    with pytest.raises(NoAnswer):
        await deltas(await load("def answer(text):\n    yield from ()"))


async def test_parameters(load: LoadFunction) -> None:
    """A generator gets its parameters like any function."""
    function = await load("async def answer(text, n: int = 1):\n    for _ in range(n): yield text")
    question = Question(text="x", parameters=function.parse_parameters({"n": ["2"]}, from_strings=True))
    assert await deltas(function, question) == ["x", "x", Answer("xx")]


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_exception_after_a_delta(load: LoadFunction, prefix: str) -> None:
    """An exception in the middle is raised after the deltas before it."""
    function = await load(f"{prefix}def answer(text):\n    yield 'a'\n    raise OSError('x')")
    stream = function.stream(HI)
    assert await anext(stream) == "a"
    with pytest.raises(OSError, match="x"):
        await anext(stream)


async def test_closing_stops_an_async_generator(load: LoadFunction) -> None:
    """Closing the stream early runs the generator's `finally` block before it returns."""
    code = """
        import asyncio
        events = []
        async def answer(text):
            try:
                yield "a"
                yield "b"
            finally:
                await asyncio.sleep(0)
                events.append("closed")
    """
    function = await load(code)
    async with contextlib.aclosing(function.stream(HI)) as stream:
        await anext(stream)
    assert module_globals(function)["events"] == ["closed"]


async def test_cancelling_stops_async_code(load: LoadFunction) -> None:
    """Cancelling the request cancels the code."""
    code = """
        import asyncio
        events, begun = [], asyncio.Event()
        async def answer(text):
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                events.append("cancelled")
                raise
    """
    function = await load(code)
    names = module_globals(function)
    task = asyncio.ensure_future(function.answer(HI))
    await names["begun"].wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names["events"] == ["cancelled"]


SLOW = """
    import contextvars, threading
    where = contextvars.ContextVar("where", default="nowhere")
    begun, open_, closed = threading.Event(), threading.Event(), threading.Event()
    events = []
    def answer(text):
        try:
            yield where.get()
            where.set("inside")
            begun.set()
            open_.wait(10)
            yield where.get()
            yield "late"
        finally:
            events.append(where.get())
            closed.set()
"""


async def wait(event: threading.Event) -> None:
    """Wait in a thread for an event that another thread sets."""
    assert await asyncio.to_thread(event.wait, 10)


async def test_one_context_for_all_items(load: LoadFunction) -> None:
    """A synchronous generator runs in the context of the request, whichever threads resume it."""
    function = await load(SLOW)
    names = module_globals(function)
    names["open_"].set()
    names["where"].set("outside")
    assert await deltas(function) == ["outside", "inside", "late", Answer("outsideinsidelate")]
    assert (names["events"], names["where"].get()) == (["inside"], "outside")


async def test_closing_stops_a_generator_between_items(load: LoadFunction) -> None:
    """A suspended synchronous generator is closed in a thread."""
    function = await load(SLOW)
    names = module_globals(function)
    async with contextlib.aclosing(function.stream(HI)) as stream:
        await anext(stream)
    await wait(names["closed"])
    assert not names["begun"].is_set()


async def test_cancelling_stops_a_generator_after_its_step(load: LoadFunction) -> None:
    """A running generator is closed when its current step ends; until then it keeps its thread."""
    function = await load(SLOW)
    names = module_globals(function)
    task = asyncio.ensure_future(deltas(function))
    await wait(names["begun"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not names["closed"].is_set()
    assert (function.statistics().busy_threads, function.abandoned_calls) == (1, 1)
    names["open_"].set()
    await wait(names["closed"])


async def test_cancelling_stops_a_collected_generator(load: LoadFunction) -> None:
    """Without streaming, a generator is also closed when the request is cancelled."""
    function = await load(SLOW)
    names = module_globals(function)
    task = asyncio.ensure_future(function.answer(HI))
    await wait(names["begun"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    names["open_"].set()
    await wait(names["closed"])


async def test_exception_while_closing_is_logged(load: LoadFunction) -> None:
    """An exception while the generator is closed is logged, because nothing awaits it."""
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
        await function._pool.run(int)  # the only thread has closed the generator before this call
    assert [str(log["exc_info"]) for log in logs] == ["late"]


async def test_synchronous_code_does_not_block_the_loop(load: LoadFunction) -> None:
    """The event loop runs while a call blocks its thread."""
    function = await load(SLOW)
    names = module_globals(function)
    task = asyncio.ensure_future(function.answer(HI))
    await wait(names["begun"])
    assert function.statistics().busy_threads == 1
    names["open_"].set()
    assert (await task).text == "nowhereinsidelate"
