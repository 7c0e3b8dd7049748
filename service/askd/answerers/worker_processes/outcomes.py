"""Answers and exceptions of the code as messages, and back.

The server gets the same objects as from code in its own process, except for exceptions of the code: those become
`WorkerException`, which has the name and the formatted traceback of the original.
"""

import traceback
from collections.abc import Iterator
from typing import Final

import msgspec

from askd import errors
from askd.answerers.user_code.exceptions import WorkerException, without_own_frames
from askd.answerers.worker_processes.messages import Answered, CodeException, Delta, Died, Ending, Failed, LoadFailed
from askd.errors import AnswererFailed, LoadError, Problem, WorkerDied
from askd.models import Answer

_json_encoder: Final = msgspec.json.Encoder()


def encode_answer(answer: Answer) -> Answered:
    """Return the message for an answer. Raises AnswererFailed if a value cannot be JSON."""
    try:
        fields = _json_encoder.encode(answer.fields) if answer.fields else b""
        value = b"" if answer.value is None else _json_encoder.encode(answer.value)
        answer.text.encode()
    except (TypeError, ValueError) as error:
        raise AnswererFailed from error
    return Answered(answer.text, fields, value)


def encode_error(error: BaseException) -> Failed:
    """Return the message for an exception that a call raised."""
    if not isinstance(error, Problem):
        return Failed(cause=encode_exception(error))
    cause = error.__cause__ if isinstance(error, AnswererFailed) else None
    return Failed(
        code=error.code,
        status=int(error.status),
        detail=_encodable(error.detail),
        headers={name: _encodable(value) for name, value in error.headers.items()},
        extensions=_json_encoder.encode(error.extensions) if error.extensions else b"",
        cause=encode_exception(cause) if cause else None,
    )


def encode_load_error(error: BaseException) -> LoadFailed:
    """Return the message for an exception that the load raised."""
    if not isinstance(error, LoadError):
        return LoadFailed("".join(traceback.format_exception(error)), None)
    return LoadFailed(_encodable(str(error)), encode_exception(error.__cause__) if error.__cause__ else None)


def encode_exception(error: BaseException) -> CodeException:
    """Return the message for an exception of the code."""
    text = "".join(traceback.format_exception(without_own_frames(error))).rstrip("\n")
    try:
        message = str(error)
    except Exception:  # a `__str__` of the code
        message = ""
    return CodeException(type(error).__qualname__, _encodable(message), _encodable(text))


def decode_answer(ending: Delta | Ending) -> Answer:
    """Return the answer at the end of a call. Raises what the call raised, or WorkerDied."""
    if isinstance(ending, Answered):
        fields = msgspec.json.decode(ending.fields) if ending.fields else {}
        return Answer(ending.text, fields, msgspec.json.decode(ending.value) if ending.value else None)
    if isinstance(ending, Died):
        raise WorkerDied(ending.reason)
    if isinstance(ending, Failed):
        raise _decode_error(ending)
    raise AnswererFailed  # cancelled, although nobody asked for it: the code raised CancelledError


def decode_load_error(message: LoadFailed) -> LoadError:
    """Return the error of a load."""
    error = LoadError(message.message)
    error.__cause__ = _decode_exception(message.cause) if message.cause else None
    return error


def _decode_error(message: Failed) -> Exception:
    cause = _decode_exception(message.cause) if message.cause else None
    cls = _PROBLEM_CLASSES.get(message.code)
    if cls is None:
        return cause or AnswererFailed()
    problem: Problem = cls.__new__(cls)  # without its __init__, which composes a new detail
    Problem.__init__(
        problem,
        message.detail,
        headers=message.headers,
        **(msgspec.json.decode(message.extensions) if message.extensions else {}),
    )
    problem.status = message.status
    problem.__cause__ = cause
    return problem


def _decode_exception(message: CodeException) -> WorkerException:
    return WorkerException.create(message.name, message.text, message.traceback)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _subclasses(cls: type[Problem]) -> Iterator[type[Problem]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


_PROBLEM_CLASSES: Final[dict[str, type[Problem]]] = {
    cls.code: cls for cls in _subclasses(errors.Problem) if cls.__module__ == errors.__name__ and "code" in vars(cls)
}
"""Problem by code."""
