"""An answerer for `package.module:attr` or `file.py:attr`: only its import shows if that is a function or a graph."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from askd.answerers.user_code.importer import is_chain, is_graph, is_graph_builder, is_graph_factory
from askd.answerers.user_code.user_module import UserModule
from askd.config import Settings
from askd.models import Answer, Answerer, AnswererStatistics, ProgressCallback, Question


def _accepts_question(value: object) -> bool:
    from askd.answerers.function import accepts_question  # noqa: PLC0415 only specs without a name need it

    return accepts_question(value)


class UserCodeAnswerer(Answerer):
    """Imports the code in `load`, then delegates to a FunctionAnswerer or a GraphAnswerer."""

    kind = "code"

    def __init__(self, spec: str, settings: Settings) -> None:
        self.name = spec
        self._settings = settings
        self._user_module = UserModule(spec, _accepts_question)
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
        self.kind = delegate.kind
        self.contract = delegate.contract
        self.supports_streaming = delegate.supports_streaming
        self.supports_threads = delegate.supports_threads
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

    def parse_parameters(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        """Validate the parameters. Raises BadQuestion."""
        return self._loaded_delegate.parse_parameters(values, from_strings=from_strings)

    async def answer(self, question: Question) -> Answer:
        """Return the delegate's answer."""
        return await self._loaded_delegate.answer(question)

    def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Stream the delegate's answer."""
        return self._loaded_delegate.stream(question)

    def statistics(self) -> AnswererStatistics:
        """Return the delegate's statistics."""
        return self._delegate.statistics() if self._delegate else AnswererStatistics()
