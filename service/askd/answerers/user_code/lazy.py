"""`Code`: what `package.module:attr` or `file.py:attr` names is a function or a graph, and its import tells which."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from service.answerers.candidates import is_builder, is_graph, makes_graph
from service.answerers.home import Home
from service.models import Answer, Answerer, Progress, Question, Statistics
from service.settings import Settings


class Code(Answerer):
    """Stands in for the answerer of the right kind, which `load` makes; until then nothing is known of the code."""

    kind = "code"

    def __init__(self, spec: str, settings: Settings) -> None:
        self.name = spec
        self._settings = settings
        self._home = Home(spec)
        self._within: Answerer | None = None

    async def load(self, progress: Progress) -> None:
        """Import the code in a thread, see what it is, and load that. Raises LoadError."""
        progress(f"importing {self.name}")
        found = await self._home.find()
        graph = is_graph(found.value) or is_builder(found.value) or makes_graph(found.value)
        self._within = within = self._graph() if graph else self._function()
        await within.load(progress)
        self.kind, self.contract, self.streams = within.kind, within.contract, within.streams
        self.deterministic, self.conversational = within.deterministic, within.conversational
        self.version, self.places = within.version, within.places

    def _function(self) -> Answerer:
        from service.answerers.function import Function  # noqa: PLC0415 only functions need what understands them

        settings = self._settings
        return Function(self.name, threads=settings.threads, deterministic=settings.deterministic, home=self._home)

    def _graph(self) -> Answerer:
        from service.answerers.graph import Graph  # noqa: PLC0415 only graphs need what understands them

        settings = self._settings
        return Graph(
            self.name,
            threads=settings.threads,
            deterministic=settings.deterministic,
            input_key=settings.graph_input_key,
            output_key=settings.graph_output_key,
            home=self._home,
        )

    @property
    def _loaded(self) -> Answerer:
        if self._within is None:
            raise RuntimeError("the code is not loaded")
        return self._within

    async def close(self) -> None:
        """Close what was loaded; also where the import failed."""
        await (self._within.close() if self._within else self._home.stop())

    async def ready(self) -> tuple[bool, str]:
        """Return what the code says, and why; no before it is loaded."""
        return await self._within.ready() if self._within else (False, "not loaded")

    def warnings(self) -> Sequence[str]:
        """Return what the one who deploys the code had better know."""
        return self._within.warnings() if self._within else ()

    def bind(self, given: Mapping[str, Any], *, textual: bool) -> Mapping[str, Any]:
        """Validate the parameters. Raises BadQuestion."""
        return self._loaded.bind(given, textual=textual)

    async def answer(self, question: Question) -> Answer:
        """Ask the code."""
        return await self._loaded.answer(question)

    def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield what the code yields."""
        return self._loaded.stream(question)

    def statistics(self) -> Statistics:
        """Return what the code's answerer counts."""
        return self._within.statistics() if self._within else Statistics()
