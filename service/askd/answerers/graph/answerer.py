"""GraphAnswerer: serves a graph in this process.

LangGraph runs synchronous nodes in the event loop's default executor. `GraphExecutor` replaces it by askd's own thread
pool, for three reasons: the default executor has only as many threads as the machine has cores, plus four; it keeps the
process from ending while a thread is in a call; and hanging nodes would take the threads of everything else, including
metrics scrapes.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from askd.answerers import langchain_messages
from askd.answerers.graph import introspection, results
from askd.answerers.graph.loader import GraphLoader
from askd.answerers.graph.project import Project
from askd.answerers.graph.threads import GraphThreads, RunnableConfig
from askd.answerers.token_stream import StreamedNodes, TokenStream
from askd.answerers.user_code.module import UserModule, code_fingerprint
from askd.answerers.user_code.thread_pool import ThreadPool, to_exception
from askd.models import Answer, Answerer, AnswererStatistics, Contract, ProgressCallback, Question

P = ParamSpec("P")
T = TypeVar("T")

_STREAM_OPTIONS: Final[dict[str, Any]] = {"stream_mode": ["messages", "values"]}

_in_graph_var: Final = contextvars.ContextVar("askd_in_graph", default=False)


@contextlib.contextmanager
def graph_context() -> Iterator[None]:
    """Context manager around a graph's run: executor calls of the graph and its tasks run in askd's thread pool."""
    _in_graph_var.set(True)
    try:
        yield
    finally:
        _in_graph_var.set(False)  # without a token, because a generator may be closed in another context


class GraphExecutor(ThreadPoolExecutor):
    """A default executor for the event loop: calls from graphs run in the pool, all others in its own threads."""

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__(thread_name_prefix="asyncio")
        self._pool = pool

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule the call. Raises RuntimeError if the pool is closed, like other executors."""
        if not _in_graph_var.get():
            return super().submit(fn, *args, **kwargs)
        if self._pool.is_closed:
            raise RuntimeError("the thread pool is closed")
        future: Future[T] = Future()
        self._pool.run_in_background(
            partial(_run_call, future, partial(fn, *args, **kwargs)), context=contextvars.copy_context()
        )
        return future


def _run_call(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = call()
    except BaseException as error:  # otherwise the thread would end and be missing from the pool
        future.set_exception(to_exception(error))
    else:
        future.set_result(value)


class GraphAnswerer(Answerer):
    """A compiled graph, a graph builder, or a factory of either. Nothing is imported before `load`.

    Args:
        spec: `package.module:attr`, `file.py:attr`, or `langgraph.json` with an optional `#name`.
        threads: Maximum number of concurrent calls of synchronous nodes.
        deterministic: Whether answers may be cached.
        input_key: The state key for the question; None is `messages`.
        output_key: The state key of the answer; None is `messages`.
        user_module: The module, if it is already resolved; None creates one.
        project: The project that defines the graph, if the spec is a `langgraph.json`.
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
        user_module: UserModule | None = None,
        project: Project | None = None,
    ) -> None:
        self.name = spec
        self.deterministic = bool(deterministic)
        self._input_key, self._output_key = input_key, output_key
        self._project = project
        self._user_module = user_module or UserModule(project.spec if project else spec)
        self._pool = ThreadPool(threads)
        self._executor = GraphExecutor(self._pool)
        self._loader = GraphLoader(self._user_module)
        self._threads: GraphThreads | None = None
        self._warnings: list[str] = []

    async def load(self, progress: ProgressCallback) -> None:
        """Import the code in a thread, run its `startup` hook, and create the graph. Raises LoadError."""
        if self._project:
            await self._user_module.run_in_thread(self._project.apply_environment)
        progress(f"importing {self.name}")
        target = await self._user_module.resolve()
        await self._user_module.start()
        asyncio.get_running_loop().set_default_executor(self._executor)
        progress(f"creating {self.name}")
        self._graph = await self._loader.load(target, declared_as_graph=self._project is not None)
        self._inspect_graph(target.name)
        if self.deterministic:
            self.version = code_fingerprint(target.module, target.root)

    async def close(self) -> None:
        """Finish deleting temporary threads, leave the factory's context, and run the `shutdown` hook."""
        if self._threads:
            await self._threads.close()
        await self._loader.close()
        await self._user_module.stop()
        self._pool.close()

    async def ready(self) -> tuple[bool, str]:
        """Return the result of the module's `ready` hook; not ready before `load`."""
        return await self._user_module.ready() if self._threads else (False, "not loaded")

    def warnings(self) -> list[str]:
        """Return warnings about the graph's checkpointer."""
        return self._warnings

    def statistics(self) -> AnswererStatistics:
        """Return the counts of the thread pool for synchronous nodes."""
        return AnswererStatistics(
            threads=self._pool.threads, busy_threads=self._pool.busy_threads, queued_calls=self._pool.queued_calls
        )

    async def answer(self, question: Question) -> Answer:
        """Run the graph to its end.

        Raises:
            NoAnswer: The graph produced no message.
            Interrupted: The graph waits for input.
            RecursionLimit: The graph reached its recursion limit.
            Refused: A node raised an HTTP exception with a 4xx status.
            Exception: Any other exception of the graph.
        """
        with results.translate_graph_errors(question), graph_context():
            async with self._open_thread(question) as (graph_input, config):
                state = await self._graph.ainvoke(graph_input, config)
                return await self._extract_answer(state, question, config)

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the tokens of the node that answers, then the answer. `StreamedNodes` selects the node."""
        if not self.supports_streaming:
            answer = await self.answer(question)
            yield answer.text
            yield answer
            return
        with results.translate_graph_errors(question), graph_context():
            async with self._open_thread(question) as (graph_input, config):
                tokens = TokenStream(self._streamed_nodes)
                state: Any = None
                events = self._graph.astream(graph_input, config, **self._stream_options)
                async with contextlib.aclosing(events):
                    async for event in events:
                        namespace, mode, data = event if len(event) == 3 else ((), *event)
                        if mode == "messages" and (delta := tokens.add_chunk(namespace, *data)):
                            yield delta
                        elif mode == "values":
                            tokens.finish_step()
                            state = state if namespace else data
                answer = await self._extract_answer(state, question, config)
                if rest := tokens.finish(answer.text):
                    yield rest
                yield answer

    @contextlib.asynccontextmanager
    async def _open_thread(self, question: Question) -> AsyncIterator[tuple[Any, RunnableConfig]]:
        """Acquire the thread; yield the graph's input (the question, or the reply to an interrupt) and its config."""
        if self._threads is None:
            raise RuntimeError("the graph is not loaded")
        async with self._threads.acquire(question.thread_id) as config:
            resume = await self._threads.resume_command(question, config)
            yield (langchain_messages.build_input(question, self._input_key) if resume is None else resume), config

    async def _extract_answer(self, state: Any, question: Question, config: RunnableConfig) -> Answer:
        results.raise_if_interrupted(state, question)
        if self._has_breakpoints:
            results.raise_if_at_breakpoint(await self._graph.aget_state(config))
        return results.answer_from_state(state, question, self._output_key)

    def _inspect_graph(self, name: str) -> None:
        checkpointer = introspection.get_checkpointer(self._graph, name)
        self._threads = GraphThreads(self._graph, checkpointer)
        self.supports_threads = checkpointer is not None
        self._has_breakpoints = self.supports_threads and introspection.has_breakpoints(self._graph)
        self._streamed_nodes = StreamedNodes(introspection.get_final_nodes(self._graph))
        stream_parameters = introspection.get_stream_parameters(self._graph)
        self.supports_streaming = "stream_mode" in stream_parameters
        self._stream_options = _STREAM_OPTIONS | ({"subgraphs": True} if "subgraphs" in stream_parameters else {})
        introspection.check_state_keys(self._graph, name, self._input_key, self._output_key)
        self._warnings = introspection.checkpointer_warnings(checkpointer)
        self.contract = Contract(description=self._project.description if self._project else "")
