"""An answerer for `package.module:attr` or `file.py:attr`: only its import shows if that is a function or a graph."""

from collections.abc import Sequence

from askd.answerers.user_code.candidates import is_chain, is_graph, is_graph_builder, is_graph_factory
from askd.answerers.user_code.user_module import UserModule
from askd.config import Settings
from askd.models import Answer, Answerer, AnswererStatistics, ProgressCallback, Question


def accepts_question(value: object) -> bool:
    """Return whether a question can be passed to a callable."""
    from askd.answerers.function import accepts_question as accepts  # noqa: PLC0415 only specs without a name need it

    return accepts(value)


class UserCodeAnswerer(Answerer):
    """Imports the code in `load`, then delegates to a FunctionAnswerer or a GraphAnswerer."""

    kind = "code"

    def __init__(self, spec: str, settings: Settings) -> None:
        self.name = spec
        self._settings = settings
        self._user_module = UserModule(spec, accepts_question)
        self._delegate: Answerer | None = None

    async def load(self, progress: ProgressCallback) -> None:
        """Import the code in a thread, then create and load its answerer. Raises LoadError."""
        progress(f"importing {self.name}")
        value = (await self._user_module.resolve()).value
        if not is_chain(value) and (is_graph(value) or is_graph_builder(value) or is_graph_factory(value)):
            delegate = self._create_graph_answerer()
        else:
            delegate = self._create_function_answerer()
        self._delegate = delegate
        await delegate.load(progress)
        self.parse_parameters = delegate.parse_parameters  # type: ignore[method-assign] # requests go to the delegate
        self.answer = delegate.answer  # type: ignore[method-assign] # as above
        self.stream = delegate.stream  # type: ignore[method-assign] # as above
        self.kind = delegate.kind
        self.contract = delegate.contract
        self.supports_streaming = delegate.supports_streaming
        self.supports_threads = delegate.supports_threads
        self.supports_temporary_threads = delegate.supports_temporary_threads
        self.deterministic = delegate.deterministic
        self.version = delegate.version
        self.max_concurrency = delegate.max_concurrency

    def _create_function_answerer(self) -> Answerer:
        from askd.answerers.function import FunctionAnswerer  # noqa: PLC0415 only functions need it

        settings = self._settings
        return FunctionAnswerer(
            self.name, threads=settings.threads, deterministic=settings.deterministic, user_module=self._user_module
        )

    def _create_graph_answerer(self) -> Answerer:
        from askd.answerers.graph import GraphAnswerer  # noqa: PLC0415 only graphs need it

        settings = self._settings
        return GraphAnswerer(
            self.name,
            threads=settings.threads,
            deterministic=settings.deterministic,
            input_key=settings.graph_input_key,
            output_key=settings.graph_output_key,
            memory=settings.graph_memory,
            user_module=self._user_module,
        )

    @property
    def _loaded_delegate(self) -> Answerer:
        if self._delegate is None:
            raise RuntimeError("the code is not loaded")
        return self._delegate

    @property
    def parameter_parser(self) -> object:
        """The parser of a function's parameters; None for a graph."""
        return getattr(self._loaded_delegate, "parameter_parser", None)

    @property
    def process_memory(self) -> str:
        """Class that keeps the memory of a graph in this process; empty if none does."""
        return getattr(self._loaded_delegate, "process_memory", "")

    async def close(self) -> None:
        """Close the delegate, or the module if the import failed."""
        await (self._delegate.close() if self._delegate else self._user_module.stop())

    async def ready(self) -> tuple[bool, str]:
        """Return whether the code is ready; it is not before `load`."""
        return await self._delegate.ready() if self._delegate else (False, "not loaded")

    def warnings(self) -> Sequence[str]:
        """Return the delegate's warnings."""
        return self._delegate.warnings() if self._delegate else ()

    def notes(self) -> Sequence[str]:
        """Return the delegate's remarks."""
        return self._delegate.notes() if self._delegate else ()

    async def answer(self, question: Question) -> Answer:
        """Raise RuntimeError: the answerer is not loaded. `load` replaces this method by the delegate's."""
        raise RuntimeError("the code is not loaded")

    def statistics(self) -> AnswererStatistics:
        """Return the delegate's statistics."""
        return self._delegate.statistics() if self._delegate else AnswererStatistics()
