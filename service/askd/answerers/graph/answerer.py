"""`Graph`: an object with `ainvoke` as an answerer."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from service.answerers import states
from service.answerers.deltas import Telling, Voices
from service.answerers.graph import outcome, shape
from service.answerers.graph.conversation import Config, Conversations
from service.answerers.graph.executor import Executor, within
from service.answerers.graph.making import Maker
from service.answerers.graph.project import Project
from service.answerers.home import Home
from service.answerers.threads import Pool
from service.answerers.version import version_of
from service.models import Answer, Answerer, Contract, Progress, Question, Statistics

_ASKED_FOR: Final[dict[str, Any]] = {"stream_mode": ["messages", "values"]}


class Graph(Answerer):
    """A graph, a builder of one, or a factory, named as `package.module:attr`, `file.py:attr` or in a `project`.

    `threads` bounds the calls of synchronous nodes at once. The keys are those of the graph's state; None is
    `messages`. `home` None is a new one. Nothing is imported before `load`.
    """

    kind = "graph"

    def __init__(
        self,
        spec: str,
        *,
        threads: int,
        deterministic: bool | None = None,
        input_key: str | None = None,
        output_key: str | None = None,
        home: Home | None = None,
        project: Project | None = None,
    ) -> None:
        self.name = spec
        self.deterministic = bool(deterministic)
        self._input_key, self._output_key = input_key, output_key
        self._project = project
        self._home = home or Home(project.spec if project else spec)
        self._pool = Pool(threads)
        self._executor = Executor(self._pool)
        self._maker = Maker(self._home)
        self._conversations: Conversations | None = None
        self._warnings: list[str] = []

    async def load(self, progress: Progress) -> None:
        """Import the code in a thread, run its `startup`, make the graph. Raises LoadError."""
        if self._project:
            await self._home.run(self._project.apply)
        progress(f"importing {self.name}")
        found = await self._home.find()
        await self._home.start()
        asyncio.get_running_loop().set_default_executor(self._executor)
        progress(f"making {self.name}")
        self._graph = await self._maker.make(found, certain=self._project is not None)
        self._understand(found.name)
        if self.deterministic:
            self.version = version_of(found.module, found.root)

    async def close(self) -> None:
        """Leave what the factory holds, forget what is left of passing threads, run `shutdown`."""
        if self._conversations:
            await self._conversations.close()
        await self._maker.close()
        await self._home.stop()
        self._pool.close()

    async def ready(self) -> tuple[bool, str]:
        """Return what the module's `ready` says, with its reason; yes where it has none, no before it is loaded."""
        return await self._home.ready() if self._conversations else (False, "not loaded")

    def warnings(self) -> list[str]:
        """Return what the one who deploys the graph had better know."""
        return self._warnings

    def statistics(self) -> Statistics:
        """Return the counts of the pool for synchronous nodes."""
        return Statistics(threads=self._pool.threads, busy=self._pool.busy, queued=self._pool.queued)

    async def answer(self, question: Question) -> Answer:
        """Run the graph to its end. Raises NoAnswer, Interrupted, RecursionLimit, Refused, or what the graph raises."""
        with outcome.translated(question), within():
            async with self._talk(question) as (given, config):
                final = await self._graph.ainvoke(given, config)
                return await self._answer(final, question, config)

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the text as the answering node's model says it, then the whole. See `deltas` for which node that is."""
        if not self.streams:
            answer = await self.answer(question)
            yield answer.text
            yield answer
            return
        with outcome.translated(question), within():
            async with self._talk(question) as (given, config):
                telling = Telling(self._voices)
                final: Any = None
                events = self._graph.astream(given, config, **self._streaming)
                async with contextlib.aclosing(events):
                    async for event in events:
                        place, mode, data = event if len(event) == 3 else ((), *event)
                        if mode == "messages" and (delta := telling.take(place, *data)):
                            yield delta
                        elif mode == "values":
                            telling.step()
                            final = final if place else data
                answer = await self._answer(final, question, config)
                if rest := telling.end(answer.text):
                    yield rest
                yield answer

    @contextlib.asynccontextmanager
    async def _talk(self, question: Question) -> AsyncIterator[tuple[Any, Config]]:
        """Give what the graph is started with, in its conversation: the question, or the reply that it waits for."""
        if self._conversations is None:
            raise RuntimeError("the graph is not loaded")
        async with self._conversations.of(question.thread) as config:
            reply = await self._conversations.reply(question, config)
            yield (states.input_of(question, self._input_key) if reply is None else reply), config

    async def _answer(self, final: Any, question: Question, config: Config) -> Answer:
        outcome.check_interrupted(final, question)
        if self._breakpoints:
            outcome.check_stopped(await self._graph.aget_state(config))
        return outcome.answer_of(final, question, self._output_key)

    def _understand(self, name: str) -> None:
        checkpointer = shape.checkpointer_of(self._graph, name)
        self._conversations = Conversations(self._graph, checkpointer)
        self.conversational = checkpointer is not None
        self._breakpoints = self.conversational and shape.has_breakpoints(self._graph)
        self._voices = Voices(shape.last_nodes(self._graph))
        taken = shape.stream_parameters(self._graph)
        self.streams = "stream_mode" in taken
        self._streaming = _ASKED_FOR | ({"subgraphs": True} if "subgraphs" in taken else {})
        shape.check_keys(self._graph, name, self._input_key, self._output_key)
        self._warnings = shape.warnings(checkpointer)
        self.contract = Contract(description=self._project.description if self._project else "")
