"""What every thread and every task is doing, as log lines: for a server that hangs, or waits for nobody knows what.

Places in the code only: no values of variables, which may be questions or secrets.
"""

import asyncio
import itertools
import linecache
import sys
import threading
import traceback
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

import structlog

from service.telemetry.exchange import CURRENT

DIFFERENT: Final = 100
"""Stacks that are logged of the tasks; equal ones are one. A server may have thousands of tasks."""
_IDS: Final = 10
"""Ids of exchanges that are named for one stack."""
_DEEPEST: Final = 100
"""Places of one stack."""

_log = structlog.get_logger("askd.stacks")


class Dumped(NamedTuple):
    """How many there were."""

    threads: int
    tasks: int


def dump(loop: asyncio.AbstractEventLoop | None, reason: str) -> Dumped:
    """Log the stacks of all threads, and of all tasks of the loop; from any thread. None: no loop runs yet."""
    frames, names = sys._current_frames(), {each.ident: each.name for each in threading.enumerate()}  # noqa: SLF001 - documented, in spite of its name
    tasks = list(asyncio.all_tasks(loop)) if loop else []
    _log.warning("stacks", reason=reason, threads=len(frames), tasks=len(tasks))
    for ident, frame in frames.items():
        stack = "".join(traceback.format_stack(frame, _DEEPEST)).rstrip()
        _log.warning("stack of a thread", thread=names.get(ident, str(ident)), stack=stack)
    _log_tasks(tasks)
    return Dumped(len(frames), len(tasks))


def _log_tasks(tasks: list["asyncio.Task[Any]"]) -> None:
    alike: dict[str, list[asyncio.Task[Any]]] = {}
    for task in tasks:
        alike.setdefault(_stack(task), []).append(task)
    for stack, those in sorted(alike.items(), key=lambda each: -len(each[1]))[:DIFFERENT]:
        found = {"task": those[0].get_name(), "tasks": len(those), "ids": _ids(those)}
        _log.warning("stack of a task", **{name: value for name, value in found.items() if value}, stack=stack)
    if len(alike) > DIFFERENT:
        _log.warning("more stacks of tasks", left_out=len(alike) - DIFFERENT)


def _ids(tasks: list["asyncio.Task[Any]"]) -> list[str]:
    """Return the ids of the exchanges that the tasks belong to; Python 3.11 does not tell."""
    contexts = (task.get_context() for task in tasks if hasattr(task, "get_context"))
    exchanges = filter(None, (context.get(CURRENT) for context in contexts))
    return [exchange.id for exchange in itertools.islice(exchanges, _IDS)]


def _stack(task: "asyncio.Task[Any]") -> str:
    """Return where a task waits, outermost first, through all that it awaits; asyncio itself tells the first only."""
    return "\n".join(itertools.islice(_places(task.get_coro()), _DEEPEST)) or "  not begun"


def _places(awaited: Any) -> Iterator[str]:
    while awaited is not None:
        frame, code = _running(awaited)
        if frame is not None and code is not None:
            line = linecache.getline(code.co_filename, frame.f_lineno).strip()
            yield f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}\n    {line}'
        elif code is None:
            yield f"  waits for {type(awaited).__name__}"
        awaited = next(filter(None, (getattr(awaited, name, None) for name in _NEXT)), None)


_NEXT: Final = ("cr_await", "gi_yieldfrom", "ag_await")


def _running(awaited: Any) -> tuple[FrameType | None, CodeType | None]:
    """Return frame and code of a coroutine or generator; None for what is neither, and for a frame that is over."""
    for kind in ("cr", "gi", "ag"):
        if code := getattr(awaited, f"{kind}_code", None):
            return getattr(awaited, f"{kind}_frame", None), code
    return None, None
