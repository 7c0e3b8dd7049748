"""GraphAnswerer: serves a graph in this process."""

import asyncio
import contextlib
import dataclasses
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final

import msgspec

from askd.answerers import graph_state
from askd.answerers.graph import introspection, results
from askd.answerers.graph.auth import GraphAuth, load_auth
from askd.answerers.graph.default_executor import GraphExecutor, graph_pool_var
from askd.answerers.graph.loader import ContextHolder, FactoryArguments, GraphLoader
from askd.answerers.graph.persistence import GraphMemory, MemoryOpener
from askd.answerers.graph.project import Project
from askd.answerers.graph.schema_parameters import RESERVED_NAMES, create_parameters, parse_parameters
from askd.answerers.graph.threads import GraphThreads, RunnableConfig
from askd.answerers.graph_stream import StreamedNodes, TokenStream
from askd.answerers.user_code.thread_pool import ThreadPool
from askd.answerers.user_code.user_module import UserModule, code_fingerprint
from askd.errors import BadQuestion, LoadError, Problem
from askd.models import Answer, Answerer, AnswererStatistics, Contract, ProgressCallback, Question, QuestionForm

_STREAM_OPTIONS: Final[dict[str, Any]] = {"stream_mode": ["messages", "values"]}


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
    process_memory = ""
    """Class of the checkpointer or store that keeps data in this process; empty if none does. Known after `load`."""

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
        self._contexts = ContextHolder(self._user_module)
        self._loader = GraphLoader(self._user_module, self._contexts)
        self._memory_opener = MemoryOpener(memory, project, self._contexts, self._user_module)
        self._memory = GraphMemory()
        self._graph: Any = None  # for all questions; None if each has its own
        self._auth: GraphAuth | None = None
        self._threads: GraphThreads | None = None
        self._warnings: list[str] = []
        self._module_doc = ""

    async def load(self, progress: ProgressCallback) -> None:
        """Import the code in a thread, run its `startup` hook, and create the graph. Raises LoadError."""
        if self._project:
            await self._user_module.run_in_thread(self._project.apply_environment)
        progress(f"importing {self.name}")
        target = await self._user_module.resolve()
        if self._project and self._project.auth:
            self._auth = await load_auth(self._project.auth, self._user_module)
        if self._project and self.deterministic and (self._project.auth or self._project.configurable_headers):
            reason = "`auth` decides about each request" if self._project.auth else "graph may depend on the headers"
            raise LoadError(f"{self.name} cannot be deterministic: its {reason}")
        await self._user_module.start()
        asyncio.get_running_loop().set_default_executor(GraphExecutor())
        progress(f"creating {self.name}")
        graph_pool_var.set(self._pool)
        self._memory = await self._memory_opener.open()
        graph = await self._loader.load(target, declared_as_graph=self._project is not None, store=self._memory.store)
        graph_pool_var.set(None)
        graph = self._memory.attach(graph)
        self._graph = None if self._loader.creates_graphs else graph
        self._module_doc = inspect.getdoc(target.module) or ""
        self._inspect_graph(graph, target.name)
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
        try:
            async with self._open_run(question) as run:
                state = await run.graph.ainvoke(run.graph_input, run.config, **run.options)
                return await self._extract_answer(run, state, question)
        except BaseException as error:
            results.raise_graph_problem(error, question)
            raise
        finally:
            graph_pool_var.set(None)  # without a token, because a generator may be closed in another context

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the tokens of the node that answers, then the answer. `StreamedNodes` selects the node."""
        if not self.supports_streaming:
            answer = await self.answer(question)
            yield answer.text
            yield answer
            return
        try:
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
        except BaseException as error:
            results.raise_graph_problem(error, question)
            raise
        finally:
            graph_pool_var.set(None)  # without a token, because a generator may be closed in another context

    @contextlib.asynccontextmanager
    async def _open_run(self, question: Question) -> AsyncIterator[GraphRun]:
        """Authenticate the request, acquire its thread, and yield the arguments of the graph."""
        if self._threads is None:
            raise RuntimeError("the graph is not loaded")
        graph_pool_var.set(self._pool)
        user = await self._auth.authenticate(question) if self._auth else None
        if user and question.thread_id is not None:
            question = msgspec.structs.replace(question, thread_id=user.scope_thread(question.thread_id))
        context = {name: question.parameters[name] for name in self._context_names if name in question.parameters}
        fields = {name: question.parameters[name] for name in self._configurable_names if name in question.parameters}
        if self._project and self._project.configurable_headers:
            fields |= self._project.configurable_headers.select(question.headers)
        async with self._threads.acquire(question.thread_id, is_temporary=question.thread_is_temporary) as thread_id:
            configurable = {**fields, **context, **(user.configurable() if user else {}), "thread_id": thread_id}
            config: RunnableConfig = {"configurable": configurable}
            arguments = FactoryArguments(config, context, self._memory.store, user)
            shared = contextlib.nullcontext(self._graph)
            async with shared if self._graph is not None else self._loader.open_graph(arguments) as loaded_graph:
                graph = loaded_graph if self._graph is not None else self._memory.attach(loaded_graph)
                options = {"context": context} if self._takes_context else {}
                interrupt = None
                if question.thread_id is not None:
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
        if values := graph_state.get_interrupts(state):
            raise results.interrupted_error(values, question)
        if self._has_breakpoints:
            results.raise_if_at_breakpoint(await run.graph.aget_state(run.config))
        return results.answer_from_state(state, question, self._answer_key, field_keys=self._answer_fields)

    def _inspect_graph(self, graph: Any, name: str) -> None:
        checkpointer = introspection.get_checkpointer(graph, name)
        self._threads = GraphThreads(checkpointer)
        self.supports_threads = self.supports_temporary_threads = checkpointer is not None
        self.process_memory = introspection.find_process_memory(graph)
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
        taken = {*self._input_names, *self._context_names, self._question_key}
        configurable = create_parameters(
            [field for field in introspection.get_configurable_fields(graph) if field.name not in taken]
        )
        self._configurable_names = [parameter.name for parameter in configurable]
        self._parameters = [*inputs, *(each for each in contexts if each.name not in self._input_names), *configurable]
        takes_text = self._question_parameter is None or self._question_parameter.takes_text
        self.contract = Contract(
            description=(self._project.description if self._project else "") or self._module_doc,
            question=QuestionForm(
                name="q" if is_message or self._question_key in RESERVED_NAMES else self._question_key,
                accepts_json=self.supports_threads or not takes_text,  # a reply to an interrupt may be any JSON
            ),
            parameters=[parameter.contract_entry for parameter in self._parameters],
        )
