"""Questions that worker processes answer."""

import asyncio
import os
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from askd.answerers.user_code.exceptions import WorkerException
from askd.errors import BadQuestion, LoadError, NoAnswer, Refused
from askd.models import Answer, Question, detach_permit_var
from tests.support.app_fixtures import Log, ServeApp
from tests.support.worker_process_fixtures import StartWorkers, ask, create_workers, eventually

CODE = '''
import asyncio, contextvars, logging, os, warnings
from datetime import date
import structlog
from askd import NoAnswer, Question, Refused

request = contextvars.ContextVar("request", default="unset")

def startup():
    logging.getLogger("code").info("started")

def shutdown():
    logging.getLogger("code").info("stopped")

def answer(q: str, day: date | None = None, n: int = 1):
    """Answer in a thread."""
    if q == "pid":
        return str(os.getpid())
    if q == "none":
        return None
    if q == "teapot":
        raise Refused(418, "no coffee")
    if q == "error":
        raise LookupError("secret")
    if q == "exit":
        raise SystemExit(3)
    if q == "log":
        logging.getLogger("code").warning("from logging")
        structlog.get_logger().info("from structlog", n=n)
        logging.getLogger("code").debug("not shown")
        warnings.warn("from warnings")
    if q == "large":
        return "ä" * 5_000_000
    if q == "json":
        return {"answer": [1, 2], "day": day}
    if q == "variable":
        before = request.get()
        request.set(q)
        return before
    return f"{q} {day!r} {n}"

async def asynchronous(question: Question):
    await asyncio.sleep(0)
    name = ascii(question.headers["x-name"])
    return f"{question.text} {question.id} {question.caller} {name} {question.time_left is None}"

def counted(q):
    for number in range(int(q)):
        with open("progress", "a") as file:
            file.write(".")
        yield f"{number} "
'''


async def test_functions(start_workers: StartWorkers, log: Log) -> None:
    """A function in a worker process gives the answers, errors and log lines that it gives in the server's process."""
    workers = await start_workers(CODE)
    assert workers.kind == "function"
    assert workers.max_concurrency == 1
    assert [parameter.name for parameter in workers.contract.parameters] == ["day", "n"]
    assert int(await ask(workers, "pid")) != os.getpid()
    assert await ask(workers, "a", day="2026-01-31", n=2) == "a datetime.date(2026, 1, 31) 2"
    assert len(await ask(workers, "large")) == 5_000_000
    assert await workers.answer(Question(text="json")) == Answer("[1,2]", {"day": None}, [1, 2])
    assert [await ask(workers, "variable") for _ in range(2)] == ["unset", "unset"]
    with pytest.raises(NoAnswer):
        await ask(workers, "none")
    with pytest.raises(Refused, match="no coffee") as refused:
        await ask(workers, "teapot")
    assert refused.value.status == 418
    with pytest.raises(WorkerException, match="secret") as failed:
        await ask(workers, "error")
    assert failed.value.traceback.splitlines()[1].strip().startswith('File "')
    with pytest.raises(BadQuestion, match="expected `int`"):
        workers.parse_parameters({"n": "x"}, from_strings=False)
    await ask(workers, "log", n=7)
    assert await workers.ready() == (True, "")
    await workers.close()
    events = [(line["event"].split(":")[-1].strip()[:13], line["level"]) for line in log.lines()]
    assert ("from logging", "warning") in events
    assert ("from structlog"[:13], "info") in events
    assert any("from warnings" in line["event"] for line in log.lines())
    assert ("started", "info") in events
    assert ("stopped", "info") in events
    assert "not shown" not in log.text


async def test_asynchronous_functions_get_the_question(start_workers: StartWorkers) -> None:
    """A coroutine function gets the Question with the request's id, caller, headers and deadline."""
    workers = await start_workers(CODE, name="asynchronous")
    question = Question(text="hi", id="id-1", caller="bob", headers={"X-Name": "J\udcfcrgen"})
    answer = await workers.answer(question)
    assert answer.text == r"hi id-1 bob 'J\udcfcrgen' True"


async def test_streams_wait_for_their_reader(start_workers: StartWorkers) -> None:
    """A generator stops after a window of items that nobody has read, and ends when its reader leaves."""
    workers = await start_workers(CODE, name="counted")
    assert workers.supports_streaming

    def progress() -> int:
        return Path("progress").stat().st_size if Path("progress").exists() else 0

    events = workers.stream(Question(text="100000"))
    async with aclosing(events):
        assert await anext(events) == "0 "
        await eventually(lambda: progress() >= 16)
    reached = progress()
    assert reached < 100
    received = [event async for event in workers.stream(Question(text="50"))]
    assert received[:-1] == [f"{number} " for number in range(50)]
    assert received[-1] == Answer("".join(map(str, received[:-1])))
    assert progress() == reached + 50


async def test_calls_are_cancelled_before_and_after_their_start(start_workers: StartWorkers) -> None:
    """A cancelled call frees its worker and then its permit, whether it has begun or not."""
    workers = await start_workers(
        """
        import asyncio, logging

        async def answer(q):
            if q != "next":
                open(q, "w").close()
                await asyncio.Event().wait()
            return q
        """,
        kill_delay=60.0,
    )
    released: list[int] = []
    detach_permit_var.set(lambda: partial(released.append, 1))
    for question in ("cancelled before", "cancelled after"):
        call = asyncio.create_task(ask(workers, question))
        await (eventually(Path(question).exists) if question == "cancelled after" else asyncio.sleep(0))
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
    assert await ask(workers, "next") == "next"
    await eventually(lambda: len(released) == 2)


@pytest.mark.slow
async def test_types_of_the_code_are_parsed_by_the_worker(start_workers: StartWorkers) -> None:
    """A parameter whose type belongs to the code is validated in the worker; its error is a 400 as well."""
    workers = await start_workers(
        """
        import enum

        class Tone(enum.Enum):
            DRY = "dry"

        def answer(q: str, tone: Tone = Tone.DRY) -> str:
            return f"{q} {tone!r}"
        """
    )
    assert await ask(workers, "x", tone="dry") == "x <Tone.DRY: 'dry'>"
    with pytest.raises(BadQuestion, match="tone"):
        await ask(workers, "x", tone="loud")


async def test_the_log_has_the_ids_of_the_request(
    serve: ServeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    """Log lines of the code have the request id; a client sees nothing of an exception, the log its traceback."""
    monkeypatch.chdir(tmp_path)
    client = await serve(create_workers(tmp_path, CODE))
    async with client.get("/ask", params={"q": "log"}, headers={"X-Request-Id": "abc"}) as response:
        assert response.status == 200
    assert [line["request_id"] for line in log.lines("from logging") + log.lines("from structlog")] == ["abc"] * 2
    async with client.get("/ask", params={"q": "error"}, headers={"X-Request-Id": "def"}) as response:
        assert response.status == 500
        assert "secret" not in await response.text()
    (line,) = log.lines("answerer_failed")
    assert line["request_id"] == "def"
    assert line["exception"].endswith("LookupError: secret")
    assert "askd/answerers" not in line["exception"]
    async with client.get("/ask", params={"q": "x", "n": "x"}) as response:
        assert response.status == 400
    async with client.get("/ask", params={"q": "exit"}) as response:
        assert (response.status, (await response.json())["type"]) == (500, "/docs#answerer-failed")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import missing_module_x", r"code\.py:1: import missing_module_x\n .*ModuleNotFoundError"),
        ("def startup(): raise RuntimeError('no database')\ndef answer(q): ...", "no database"),
    ],
)
async def test_code_that_cannot_be_loaded(start_workers: StartWorkers, code: str, message: str) -> None:
    """Code that cannot be loaded ends the start with the message that it has without worker processes."""
    with pytest.raises(LoadError, match=message):
        await start_workers(code)


@pytest.mark.slow
async def test_not_ready_before_the_load(start_workers: StartWorkers, tmp_path: Path) -> None:
    """Before the load, the answerer is not ready; its `ready` hook decides afterwards."""
    workers = await start_workers(
        """
        import os

        def ready():
            return not os.path.exists("unready"), "says the hook"

        def answer(q): return q
        """
    )
    assert await workers.ready() == (True, "says the hook")
    (tmp_path / "unready").touch()
    assert await workers.ready() == (False, "worker process 1: says the hook")
    other = create_workers(tmp_path, CODE)
    assert await other.ready() == (False, "no worker process is loaded")
    await other.close()


@pytest.mark.slow
async def test_an_answer_may_arrive_with_the_cancellation(start_workers: StartWorkers, log: Log) -> None:
    """An answer that arrives when its call has just been cancelled frees the worker, which is not killed."""
    workers = await start_workers("def answer(q): return q", kill_delay=0.0)
    worker = workers._pool.workers[1]
    call = asyncio.create_task(ask(workers, "x"))
    finish_call = worker._finish_call

    def cancel_and_finish(ending: Any) -> None:
        call.cancel()
        finish_call(ending)

    worker._finish_call = cancel_and_finish  # type: ignore[method-assign] # just before the answer is passed on
    await asyncio.wait({call})
    worker._finish_call = finish_call  # type: ignore[method-assign] # as before
    assert call.cancelled()
    assert await ask(workers, "next") == "next"
    assert not log.lines("worker_replaced")
