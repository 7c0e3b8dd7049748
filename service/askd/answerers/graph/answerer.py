"""GraphAnswerer: serves a graph in this process.

LangGraph runs synchronous nodes in the event loop's default executor. `GraphExecutor` replaces it by askd's own thread
pool, for three reasons: the default executor has only as many threads as the machine has cores, plus four; it keeps the
process from ending while a thread is in a call; and hanging nodes would take the threads of everything else, including
metrics scrapes.
"""

import asyncio
import contextlib
import contextvars
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import msgspec

from askd.answerers import graph_state
from askd.answerers.graph import introspection, results
from askd.answerers.graph.auth import GraphAuth, load_auth
from askd.answerers.graph.loader import ContextHolder, FactoryArguments, GraphLoader
from askd.answerers.graph.parameters import create_parameters, parse_parameters
from askd.answerers.graph.persistence import GraphMemory, MemoryOpener
from askd.answerers.graph.project import Project
from askd.answerers.graph.threads import GraphThreads, RunnableConfig
from askd.answerers.graph_stream import StreamedNodes, TokenStream
from askd.answerers.user_code.thread_pool import ThreadPool, to_exception
from askd.answerers.user_code.user_module import UserModule, code_fingerprint
from askd.errors import BadQuestion, LoadError, Problem
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


@dataclasses.dataclass(frozen=True)
class GraphRun:
    """One run of the graph."""

    graph: Any
    graph_input: Any
    """The state for a question, or the command that resumes an interrupted thread."""
    config: RunnableConfig
    options: Mapping[str, Any]
    """Other arguments of `ainvoke` and `astream`."""


class GraphAnswerer(Answerer):
    """A compiled graph, a graph builder, or a factory of either. Nothing is imported before `load`.

    Args:
        spec: `package.module:attr`, `file.py:attr`, or `langgraph.json` with an optional `#name`.
        threads: Maximum number of concurrent calls of synchronous nodes.
        deterministic: Whether answers may be cached.
        input_key: The state key for the question; None chooses one.
        output_key: The state key of the answer; None chooses one.
        memory: The memory for a graph without a checkpointer, as in `ASKD_GRAPH_MEMORY`; None adds none.
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
        memory: str | None = None,
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
        self._contexts = ContextHolder(self._user_module)
        self._loader = GraphLoader(self._user_module, self._contexts)
        self._memory_opener = MemoryOpener(memory, project, self._contexts, self._user_module)
        self._memory = GraphMemory()
        self._auth: GraphAuth | None = None
        self._threads: GraphThreads | None = None
        self._warnings: list[str] = []

    async def load(self, progress: ProgressCallback) -> None:
        """Import the code in a thread, run its `startup` hook, and create the graph. Raises LoadError."""
        if self._project:
            await self._user_module.run_in_thread(self._project.apply_environment)
        progress(f"importing {self.name}")
        target = await self._user_module.resolve()
        if self._project and self._project.auth:
            self._auth = await load_auth(self._project.auth, self._user_module)
            if self.deterministic:
                raise LoadError(f"{self.name} cannot be deterministic: its `auth` decides about each request")
        await self._user_module.start()
        asyncio.get_running_loop().set_default_executor(self._executor)
        progress(f"creating {self.name}")
        with graph_context():
            self._memory = await self._memory_opener.open()
            graph = await self._loader.load(
                target, declared_as_graph=self._project is not None, store=self._memory.store
            )
        self._inspect_graph(self._memory.attach(graph), target.name)
        if self.deterministic:
            self.version = code_fingerprint(target.module, target.root)

    async def close(self) -> None:
        """Finish deleting temporary threads, leave all contexts, and run the `shutdown` hook."""
        if self._threads:
            await self._threads.close()
        await self._contexts.close()
        await self._user_module.stop()
        self._pool.close()

    async def ready(self) -> tuple[bool, str]:
        """Return the result of the module's `ready` hook; not ready before `load`."""
        return await self._user_module.ready() if self._threads else (False, "not loaded")

    def warnings(self) -> list[str]:
        """Return warnings about the project and the graph's memory."""
        return self._warnings

    def statistics(self) -> AnswererStatistics:
        """Return the counts of the thread pool for synchronous nodes."""
        return AnswererStatistics(
            threads=self._pool.threads, busy_threads=self._pool.busy_threads, queued_calls=self._pool.queued_calls
        )

    def parse_parameters(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        """Validate the fields of the graph's input and context. Raises BadQuestion."""
        if "thread" in values and not self.supports_threads:
            raise BadQuestion(
                "thread",
                "This graph has no memory, so it cannot continue a thread. Compile it with a checkpointer, or set "
                "ASKD_GRAPH_MEMORY on the server, such as to `memory` or `sqlite:threads.db`.",
            )
        return parse_parameters(self._parameters, values, from_strings=from_strings)

    async def answer(self, question: Question) -> Answer:
        """Run the graph to its end.

        Raises:
            NoAnswer: The graph produced no message.
            Interrupted: The graph waits for input.
            BadQuestion: The graph cannot use the question, or the reply to its interrupt.
            Unauthorized: The project's authentication rejected the request; Refused with another status than 401.
            RecursionLimit: The graph reached its recursion limit.
            Refused: A node raised an HTTP exception with a 4xx status.
            Exception: Any other exception of the graph.
        """
        with results.translate_graph_errors(question), graph_context():
            async with self._open_run(question) as run:
                state = await run.graph.ainvoke(run.graph_input, run.config, **run.options)
                return await self._extract_answer(run, state, question)

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the tokens of the node that answers, then the answer. `StreamedNodes` selects the node."""
        if not self.supports_streaming:
            answer = await self.answer(question)
            yield answer.text
            yield answer
            return
        with results.translate_graph_errors(question), graph_context():
            async with self._open_run(question) as run:
                tokens = TokenStream(self._streamed_nodes)
                state: Any = None
                events = run.graph.astream(run.graph_input, run.config, **self._stream_options, **run.options)
                async with contextlib.aclosing(events):
                    async for event in events:
                        namespace, mode, data = event if len(event) == 3 else ((), *event)
                        if mode == "messages" and (delta := tokens.add_chunk(namespace, *data)):
                            yield delta
                        elif mode == "values":
                            tokens.finish_step()
                            state = state if namespace else data
                answer = await self._extract_answer(run, state, question)
                if rest := tokens.finish(answer.text):
                    yield rest
                yield answer

    @contextlib.asynccontextmanager
    async def _open_run(self, question: Question) -> AsyncIterator[GraphRun]:
        """Authenticate the request, acquire its thread, and yield the arguments of the graph."""
        if self._threads is None:
            raise RuntimeError("the graph is not loaded")
        user = await self._auth.authenticate(question) if self._auth else None
        if user and question.thread_id is not None:
            question = msgspec.structs.replace(question, thread_id=user.scope_thread(question.thread_id))
        context = {name: question.parameters[name] for name in self._context_names if name in question.parameters}
        async with self._threads.acquire(question.thread_id) as thread_id:
            configurable = {**context, **(user.configurable() if user else {}), "thread_id": thread_id}
            config: RunnableConfig = {"configurable": configurable}
            arguments = FactoryArguments(config, context, self._memory.store, user)
            async with self._loader.open_graph(arguments) as loaded_graph:
                graph = self._memory.attach(loaded_graph)
                options = {"context": context} if self._takes_context else {}
                interrupt = await self._threads.find_interrupt(graph, question, config)
                if interrupt is None:
                    yield GraphRun(graph, self._build_input(question), config, options)
                    return
                try:
                    yield GraphRun(graph, interrupt.command, config, options)
                except Exception as error:
                    if isinstance(error, Problem):
                        raise
                    await self._threads.restore(graph, config, interrupt)
                    problem = results.bad_reply_problem(error, interrupt.values)
                    if problem is None:
                        raise
                    raise problem from error

    def _build_input(self, question: Question) -> dict[str, Any]:
        fields = {name: question.parameters[name] for name in self._input_names if name in question.parameters}
        if self._question_parameter is None:
            return {**fields, **graph_state.build_input(question, self._question_key)}
        return {**fields, self._question_key: self._question_parameter.parse_question(question.text)}

    async def _extract_answer(self, run: GraphRun, state: Any, question: Question) -> Answer:
        results.raise_if_interrupted(state, question)
        if self._has_breakpoints:
            results.raise_if_at_breakpoint(await run.graph.aget_state(run.config))
        return results.answer_from_state(state, question, self._answer_key, field_keys=self._answer_fields)

    def _inspect_graph(self, graph: Any, name: str) -> None:
        checkpointer = introspection.get_checkpointer(graph, name)
        self._threads = GraphThreads(checkpointer)
        self.supports_threads = checkpointer is not None
        self._has_breakpoints = self.supports_threads and introspection.has_breakpoints(graph)
        self._streamed_nodes = StreamedNodes(introspection.get_final_nodes(graph))
        stream_parameters = introspection.get_parameter_names(getattr(graph, "astream", None))
        self.supports_streaming = "stream_mode" in stream_parameters
        self._stream_options = _STREAM_OPTIONS | ({"subgraphs": True} if "subgraphs" in stream_parameters else {})
        self._takes_context = "context" in introspection.get_parameter_names(graph.ainvoke)
        self._inspect_schemas(graph, name)
        self._warnings = introspection.checkpointer_warnings(checkpointer)
        if self._project:
            self._warnings += self._project.warnings
            if checkpointer is None:
                self._warnings.append(introspection.NO_MEMORY_WARNING)

    def _inspect_schemas(self, graph: Any, name: str) -> None:
        """Choose the keys of question and answer. All other fields of input and context become parameters."""
        input_fields = introspection.get_input_fields(graph)
        self._question_key = introspection.choose_input_key(input_fields, self._input_key, name)
        self._answer_key = introspection.choose_output_key(graph, self._output_key, name)
        self._answer_fields = introspection.get_output_fields(graph, self._question_key)
        is_message = self._question_key == graph_state.MESSAGES_KEY
        questions = [field for field in input_fields if field.name == self._question_key and not is_message]
        self._question_parameter = next(iter(create_parameters(questions)), None)
        inputs = create_parameters([field for field in input_fields if field.name != self._question_key])
        contexts = create_parameters(introspection.get_context_fields(graph))
        self._input_names = [parameter.name for parameter in inputs]
        self._context_names = [parameter.name for parameter in contexts]
        self._parameters = [*inputs, *(each for each in contexts if each.name not in self._input_names)]
        self.contract = Contract(
            description=self._project.description if self._project else "",
            parameters=[parameter.contract_entry for parameter in self._parameters],
        )
