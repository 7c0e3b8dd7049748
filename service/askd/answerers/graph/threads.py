"""Conversations: the threads that a graph's checkpointer stores, and replies to interrupts in them.

A thread that the client names is kept. A question without one gets a temporary thread, which is deleted after the
answer because no client could refer to it again. Without a checkpointer the id only tells nodes which run they serve.
"""

import asyncio
import contextlib
import dataclasses
import sys
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final
from uuid import uuid4

import structlog

from askd.answerers.graph_state import parse_reply
from askd.errors import BadQuestion, Interrupted
from askd.models import Question

RunnableConfig = dict[str, Any]
"""LangChain's `RunnableConfig`."""

_TEMPORARY_THREAD_PREFIX: Final = "askd-"
"""Marks temporary threads in the database, for the case that a crash leaves one behind."""
_RESUME_CHANNEL: Final = "__resume__"
"""Channel of a checkpoint with the replies that a task has got."""

log = structlog.get_logger("askd.answerer")


class GraphThreads:
    """The threads of one graph. Without a checkpointer, questions are independent of each other."""

    def __init__(self, checkpointer: Any) -> None:
        self._checkpointer = checkpointer
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._deletions: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def acquire(self, thread_id: str | None, *, is_temporary: bool = False) -> AsyncIterator[str]:
        """Yield the thread id for one question. Questions in one thread take turns, to not lose messages.

        A temporary thread is deleted, unless the client may still reply to its interrupt.
        """
        if thread_id is None:
            temporary_id = f"{_TEMPORARY_THREAD_PREFIX}{uuid4()}"
            try:
                yield temporary_id
            finally:
                if self._checkpointer is not None:
                    self._schedule_deletion(temporary_id)
        else:
            async with self._locks.setdefault(thread_id, asyncio.Lock()):
                is_kept = not is_temporary
                try:
                    yield thread_id
                except (Interrupted, BadQuestion):  # it waits for a reply, or for a better one
                    is_kept = True
                    raise
                finally:
                    if not is_kept:
                        self._schedule_deletion(thread_id)

    async def find_interrupt(self, graph: Any, question: Question, config: RunnableConfig) -> "PendingInterrupt | None":
        """Return the first interrupt that waits for a reply in the question's thread, or None."""
        command = getattr(sys.modules.get("langgraph.types"), "Command", None)
        if question.thread_id is None or self._checkpointer is None or command is None:
            return None
        state = await graph.aget_state(config)
        if not _open_interrupts(state):
            return None
        state = await graph.aget_state(config, subgraphs=True)
        interrupts = _open_interrupts(state)
        resume = {interrupts[0].id: parse_reply(question.text)}
        return PendingInterrupt(
            command(resume=resume),
            [interrupt.value for interrupt in interrupts],
            await self._save_replies(state, interrupts[0].id),
        )

    async def restore(self, graph: Any, config: RunnableConfig, pending: "PendingInterrupt") -> None:
        """Remove the reply from the thread if the task that got it has failed, so that it can get another one.

        LangGraph stores a reply before the task uses it, and would repeat it forever.
        """
        try:
            state = await graph.aget_state(config, subgraphs=True)
            tasks = {task.id for task, _ in _interrupted_tasks(state)}
            for saved in pending.saved_replies:
                if saved.task_id in tasks:
                    await self._checkpointer.aput_writes(
                        saved.config, [(_RESUME_CHANNEL, saved.replies)], saved.task_id
                    )
        except Exception:
            log.exception("thread_restore_failed")

    async def close(self) -> None:
        """Wait until all temporary threads are deleted."""
        while self._deletions:
            await asyncio.wait(self._deletions)

    async def _save_replies(self, state: Any, interrupt_id: str) -> "list[SavedReplies]":
        """Return the replies that each task with the interrupt has got so far, in the graph and its subgraphs."""
        saved = []
        for task, config in _interrupted_tasks(state):
            if any(interrupt.id == interrupt_id for interrupt in task.interrupts):
                checkpoint = await self._checkpointer.aget_tuple(config)
                writes = checkpoint.pending_writes or () if checkpoint else ()
                replies = [
                    value for task_id, channel, value in writes if (task_id, channel) == (task.id, _RESUME_CHANNEL)
                ]
                saved.append(SavedReplies(config, task.id, replies[-1] if replies else []))
        return saved

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


@dataclasses.dataclass(frozen=True)
class SavedReplies:
    """The replies that a task had got before a question."""

    config: RunnableConfig
    """Config of the checkpoint that the task belongs to."""
    task_id: str
    replies: Sequence[Any]


@dataclasses.dataclass(frozen=True)
class PendingInterrupt:
    """An interrupted thread: the command that resumes it, and what restores it."""

    command: Any
    values: Sequence[Any]
    """What the graph asks for, one value for each open interrupt."""
    saved_replies: Sequence[SavedReplies]


def _open_interrupts(state: Any) -> list[Any]:
    """Return the interrupts without a reply.

    Not `state.interrupts`: before LangGraph 1.2 it includes interrupts that already have a reply.
    """
    return [interrupt for task in state.tasks if task.result is None for interrupt in task.interrupts]


def _interrupted_tasks(state: Any) -> Iterator[tuple[Any, RunnableConfig]]:
    """Yield the interrupted tasks of a graph and its subgraphs, each with the config of its checkpoint."""
    for task in state.tasks:
        if task.result is None and task.interrupts:
            yield task, state.config
            if hasattr(task.state, "tasks"):
                yield from _interrupted_tasks(task.state)
