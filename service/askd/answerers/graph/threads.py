"""Conversations: the threads that a graph's checkpointer stores.

A thread that the client names is kept. A question without one gets a temporary thread, which is deleted after the
answer because no client could refer to it again.
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

from askd.models import Question

RunnableConfig = dict[str, Any]
"""LangChain's `RunnableConfig`; empty if the graph has no checkpointer."""

_TEMPORARY_THREAD_PREFIX: Final = "askd-"
"""Marks temporary threads in the database, for the case that a crash leaves one behind."""

log = structlog.get_logger("askd.answerer")


class GraphThreads:
    """The threads of one graph. Without a checkpointer, questions are independent of each other."""

    def __init__(self, graph: Any, checkpointer: Any) -> None:
        self._graph = graph
        self._checkpointer = checkpointer
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._deletions: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def acquire(self, thread_id: str | None) -> AsyncIterator[RunnableConfig]:
        """Yield the config for one question. Questions in one thread run one after another, to not lose messages."""
        if self._checkpointer is None:
            yield {}
        elif thread_id is None:
            temporary_id = f"{_TEMPORARY_THREAD_PREFIX}{uuid4()}"
            try:
                yield _thread_config(temporary_id)
            finally:
                self._schedule_deletion(temporary_id)
        else:
            async with self._locks.setdefault(thread_id, asyncio.Lock()):
                yield _thread_config(thread_id)

    async def resume_command(self, question: Question, config: RunnableConfig) -> Any:
        """Return the command that resumes an interrupted thread with the question's text, or None.

        If there are several interrupts, the first gets the text and the others remain.
        """
        command = getattr(sys.modules.get("langgraph.types"), "Command", None)
        if question.thread_id is None or self._checkpointer is None or command is None:
            return None
        state = await self._graph.aget_state(config)
        # Not `state.interrupts`: before LangGraph 1.2 it includes interrupts that already have a reply.
        interrupts = [interrupt for task in state.tasks if task.result is None for interrupt in task.interrupts]
        if not interrupts:
            return None
        value = _parse_resume_value(question.text)
        # LangGraph reads a mapping as replies by interrupt id, so a reply that is a mapping needs the id too.
        has_id = len(interrupts) > 1 or isinstance(value, dict)
        return command(resume={interrupts[0].id: value} if has_id else value)

    async def close(self) -> None:
        """Wait until all temporary threads are deleted."""
        while self._deletions:
            await asyncio.wait(self._deletions)

    def _schedule_deletion(self, thread_id: str) -> None:
        """Delete in a separate task: the answer need not wait, and a client disconnect must not cancel it."""
        task = asyncio.create_task(self._delete_thread(thread_id))
        self._deletions.add(task)
        task.add_done_callback(self._deletions.discard)

    async def _delete_thread(self, thread_id: str) -> None:
        try:
            await self._checkpointer.adelete_thread(thread_id)
        except Exception:
            log.exception("thread_delete_failed", thread_id=thread_id)


def _thread_config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}


def _parse_resume_value(text: str) -> Any:
    """Return the JSON object or list in the text, because some graphs expect one; other text is returned as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict | list) else text
