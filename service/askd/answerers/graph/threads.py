"""Conversations: the threads that a graph's checkpointer remembers.

A thread of the client's is kept. Where the question names none, the graph gets one that passes: it is forgotten as soon
as the question is answered, for nobody could come back to it.
"""

import asyncio
import contextlib
import json
import sys
import weakref
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import uuid4

import structlog

from service.models import Question

Config = dict[str, Any]
"""A `RunnableConfig`; empty where the graph remembers nothing."""

_PASSING: Final = "askd-"
"""What the ids of threads that pass begin with, so that one that was left over by a crash is known."""

log = structlog.get_logger("askd.answerer")


class Conversations:
    """The threads of one graph. `checkpointer` None: it has none, and every question stands alone."""

    def __init__(self, graph: Any, checkpointer: Any) -> None:
        self._graph = graph
        self._checkpointer = checkpointer
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._forgetting: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def of(self, thread: str | None) -> AsyncIterator[Config]:
        """Give the config for one question; those in one thread take turns, or one would overwrite the other."""
        if self._checkpointer is None:
            yield {}
        elif thread is None:
            id = f"{_PASSING}{uuid4()}"
            try:
                yield _config(id)
            finally:
                self._forget(id)
        else:
            async with self._turns.setdefault(thread, asyncio.Lock()):
                yield _config(thread)

    async def reply(self, question: Question, config: Config) -> Any:
        """Return the command that resumes an interrupted thread with the question's text; None: it is a new question.

        Of several interrupts the first gets it, the others ask again.
        """
        command = getattr(sys.modules.get("langgraph.types"), "Command", None)
        if question.thread is None or self._checkpointer is None or command is None:
            return None
        state = await self._graph.aget_state(config)
        # Not `state.interrupts`: before LangGraph 1.2 those that have had their reply are among them.
        asked = [each for task in state.tasks if task.result is None for each in task.interrupts]
        if not asked:
            return None
        value = _structured(question.text)
        return command(resume=value if len(asked) == 1 and not isinstance(value, dict) else {asked[0].id: value})

    async def close(self) -> None:
        """Wait until what was asked to be forgotten is."""
        while self._forgetting:
            await asyncio.wait(self._forgetting)

    def _forget(self, id: str) -> None:
        """In a task of its own: the answer need not wait for it, and the client who leaves must not stop it."""
        task = asyncio.create_task(self._delete(id))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _delete(self, id: str) -> None:
        try:
            await self._checkpointer.adelete_thread(id)
        except Exception:
            log.exception("a thread that nobody can come back to was not deleted", thread=id)


def _config(id: str) -> Config:
    return {"configurable": {"thread_id": id}}


def _structured(text: str) -> Any:
    """Return the object or list that the text is in JSON, since some graphs ask for one; else the text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict | list) else text
