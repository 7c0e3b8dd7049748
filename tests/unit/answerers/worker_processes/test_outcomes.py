"""Answers and exceptions on their way from a worker process to the server."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from askd.answerers.user_code.exceptions import WorkerException, user_frames
from askd.answerers.worker_processes import outcomes
from askd.answerers.worker_processes.messages import Cancelled, Died, Event, LoadFailed
from askd.errors import (
    AnswererFailed,
    BadQuestion,
    Interrupted,
    LoadError,
    NoAnswer,
    Problem,
    RecursionLimit,
    Refused,
    WorkerDied,
)
from askd.models import Answer


def transfer(message: Any) -> Any:
    """Encode and decode a message, as the socket does."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Event)


@pytest.mark.parametrize(
    "answer",
    [
        Answer("text"),
        Answer("ä", {"score": 0.5, "big": 10**30, "nested": {"list": [1, None, True]}}),
        Answer("[1,2]", {}, [1, 2]),
        Answer("", {"answers": []}),
    ],
)
def test_answers_are_the_same_after_the_transfer(answer: Answer) -> None:
    """Text, fields and value of an answer arrive unchanged."""
    assert outcomes.decode_answer(transfer(outcomes.encode_answer(answer))) == answer


@pytest.mark.parametrize("answer", [Answer("x", {"object": object()}), Answer("\ud800")])
def test_answers_without_a_json_form_fail(answer: Answer) -> None:
    """An answer that a response could not contain fails, as it does in the server's process."""
    with pytest.raises(AnswererFailed):
        outcomes.encode_answer(answer)


def refused() -> Refused:
    """Return a refusal with a header."""
    error = Refused(418, "I'm a teapot.")
    error.headers = {"X-Tea": "green"}
    return error


@pytest.mark.parametrize(
    "problem",
    [
        NoAnswer(["a", "b"]),
        refused(),
        BadQuestion("n", "`n` is wrong."),
        Interrupted("x", interrupt=[1]),
        RecursionLimit(),
    ],
    ids=lambda problem: problem.code,
)
def test_problems_are_the_same_after_the_transfer(problem: Problem) -> None:
    """A problem arrives with its class, status, detail, headers and extensions."""
    with pytest.raises(type(problem)) as caught:
        outcomes.decode_answer(transfer(outcomes.encode_error(problem)))
    received = caught.value
    assert type(received) is type(problem)
    assert (received.status, received.detail, dict(received.headers)) == (
        problem.status,
        problem.detail,
        problem.headers,
    )
    assert received.extensions == problem.extensions


def raise_error() -> None:
    """Raise an exception with a text that is not UTF-8."""
    raise LookupError("secret \ud800")


def test_exceptions_keep_name_and_traceback() -> None:
    """Another exception becomes one with the same name, text, traceback and line of the code."""
    try:
        raise_error()
    except LookupError as error:
        message = outcomes.encode_error(error)
    with pytest.raises(WorkerException, match="secret") as caught:
        outcomes.decode_answer(transfer(message))
    assert type(caught.value).__qualname__ == "LookupError"
    assert "in raise_error" in caught.value.traceback
    assert caught.value.traceback.endswith("LookupError: secret \\ud800")
    frame = user_frames(caught.value, Path(__file__).parent)[-1]
    assert (frame.filename, frame.name, frame.line) == (__file__, "raise_error", 'raise LookupError("secret \\ud800")')


def test_exceptions_whose_text_raises() -> None:
    """An exception whose `__str__` raises is transferred without its text."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    message = outcomes.encode_error(Broken())
    assert message.cause
    assert message.cause.text == ""


def test_the_cause_of_a_failure_is_kept() -> None:
    """The cause of AnswererFailed arrives with it, because the log shows the cause."""
    error = AnswererFailed()
    error.__cause__ = TypeError("not JSON")
    with pytest.raises(AnswererFailed) as caught:
        outcomes.decode_answer(transfer(outcomes.encode_error(error)))
    assert isinstance(caught.value.__cause__, WorkerException)
    assert str(caught.value.__cause__) == "not JSON"


def test_ends_without_a_result() -> None:
    """The death of the worker is a separate problem; a call that cancels itself has failed."""
    with pytest.raises(WorkerDied, match="was killed by SIGSEGV during this request"):
        outcomes.decode_answer(Died("was killed by SIGSEGV"))
    with pytest.raises(AnswererFailed):
        outcomes.decode_answer(Cancelled())


def test_load_errors() -> None:
    """A LoadError keeps its message and the traceback of its cause; other exceptions are shown whole."""
    error = LoadError("main.py cannot be imported")
    error.__cause__ = ModuleNotFoundError("No module named 'x'")
    received = outcomes.decode_load_error(transfer(outcomes.encode_load_error(error)))
    assert str(received) == "main.py cannot be imported"
    assert isinstance(received.__cause__, WorkerException)
    message = transfer(outcomes.encode_load_error(RuntimeError("bug")))
    assert isinstance(message, LoadFailed)
    assert message.message.endswith("RuntimeError: bug\n")
