"""What is asked, what comes back, and the protocol that every answerer keeps."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol

import msgspec

Progress = Callable[[str], None]
"""Takes one line that says how far a load has come; a `Step` where the share is known."""


class Step(str):  # noqa: SLOT000 - a text has no slots to add to where it has an attribute of its own
    """A line of progress that knows which `share` of the load is done, 0 to 1."""

    share: float

    @classmethod
    def of(cls, line: str, share: float) -> "Step":
        """Return the line with its share, which is brought within its bounds."""
        step = cls(line)
        step.share = min(max(share, 0.0), 1.0)
        return step


Stopped = Callable[[], None]
"""Says, on any thread and once, that code has stopped which went on after its caller had left."""

ABANDONED: Final[ContextVar[Callable[[], Stopped] | None]] = ContextVar("askd_abandoned", default=None)
"""To be called, on the loop, by an answerer whose code goes on although its call was cancelled: a thread cannot be
stopped. The place that the call holds in the limit stays taken until what this returns is called."""


class Leg(Protocol):
    """The way of a question on to another server, as a trace shows it. `headers` are sent along with it."""

    headers: Mapping[str, str]

    def answered(self, status: int) -> None:
        """Take notice of the answer's HTTP status."""
        ...

    def ended(self, fault: str = "") -> None:
        """Take notice of the end, the first one told: a word for what went wrong, or nothing."""
        ...


LEAVING: Final[ContextVar[Callable[[str, str], Leg] | None]] = ContextVar("askd_leaving", default=None)
"""To be called, with method and URL, by an answerer that passes a question on by HTTP; None: nothing is traced."""


class Stages(msgspec.Struct):
    """How long each stage of one exchange took, in seconds; None where the exchange did not pass through it."""

    auth: float | None = None
    rate: float | None = None
    cache: float | None = None
    queue: float | None = None
    code: float | None = None
    render: float | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the client asked. Two questions are the same when `text` and `parameters` are."""

    text: str
    parameters: Mapping[str, Any] = {}
    """What came beside the text, validated by the answerer's `bind`."""
    thread: str | None = None
    """The conversation that the question belongs to; None: none. Such a question is never cached nor coalesced."""
    id: str = ""
    """The request's id, as in the log and in `X-Request-Id`."""
    client: str = ""
    """Address of the client; empty where there is none, as in a test."""
    caller: str = ""
    """Name of the token that the client showed; empty where none is asked for."""
    headers: Mapping[str, str] = {}
    """Headers of the request; a name is found in any case."""
    stages: Stages = msgspec.field(default_factory=Stages)
    arrived: float = 0.0
    """When the first byte of the request came, in seconds of `time.monotonic`."""
    deadline: float | None = None
    """When the answer must be there, in seconds of `time.monotonic`; None: nobody has said."""

    @property
    def time_left(self) -> float | None:
        """Seconds until the answer must be there, below 0 when it is late; None: nobody has said."""
        return None if self.deadline is None else self.deadline - time.monotonic()


class Answer(msgspec.Struct, frozen=True):
    """What comes back: the text, and extra fields that stand beside it in JSON (never one called `answer`)."""

    text: str
    fields: Mapping[str, Any] = {}


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter beside the question, as the contract shows it. `schema` is JSON Schema 2020-12."""

    name: str
    schema: Mapping[str, Any]
    required: bool = False
    description: str = ""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What an answerer tells of itself to `/docs` and OpenAPI."""

    summary: str = "Answers a question."
    description: str = ""
    parameters: Sequence[Parameter] = ()
    answer_schema: Mapping[str, Any] | None = None
    """JSON Schema of the whole answer object; None: `answer` is a string, other fields may stand beside it."""
    examples: Sequence[str] = ()
    """Questions that get an answer."""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What an answerer counts; telemetry reads it at each scrape, from another thread. None: does not apply."""

    entries: int | None = None
    reloads: int | None = None
    reload_failures: int | None = None
    reload_failing: bool | None = None
    """Whether the last reload failed, so that what is served is older than what is on disk."""
    threads: int | None = None
    busy: int | None = None
    queued: int | None = None
    circuit: str | None = None
    """`closed`, `open` or `half_open`: whether the server that answers is asked; None: there is none."""
    circuit_openings: int | None = None
    requests: Mapping[str, int] | None = None
    """Requests to the server that answers, by what became of them."""


class Answerer(Protocol):
    """The Code: anything that turns a question into an answer.

    Subclass it to inherit the defaults, or have the same members. `load` is awaited once before the first question,
    `close` once after the last. Calls overlap on one event loop; what blocks belongs into a thread.
    """

    kind: str
    """What sort of answerer: a metric label and a word for people ("book", "function")."""
    name: str
    """What is served, for people: the spec, or the file's name."""
    deterministic: bool = False
    """Whether the same question always gets the same answer while `version` stays the same."""
    streams: bool = False
    """Whether `stream` yields deltas as they come, rather than one at the end."""
    conversational: bool = False
    """Whether a question may name a `thread`: a conversation that is remembered between questions."""
    places: int | None = None
    """How many questions it can answer at once, where each takes a thread; None: as many as come. Known once loaded."""
    version: str = ""
    """Changes whenever a deterministic answer may have changed; equal on replicas that answer alike."""
    contract: Contract = Contract()

    async def load(self, progress: Progress) -> None:
        """Make ready to answer. Raises LoadError, with file, line and fault."""
        return  # a body, so that type checkers let subclasses leave it out

    async def close(self) -> None:
        """Release what `load` acquired; also called when `load` failed halfway."""
        return  # a body, so that type checkers let subclasses leave it out

    def warnings(self) -> Sequence[str]:
        """Return what the one who deploys it had better know, a line for each. Asked once, after `load`."""
        return ()

    async def ready(self) -> tuple[bool, str]:
        """Return whether the code can answer now, and why not. Asked every second while loaded; has a second."""
        return True, ""

    def bind(self, given: Mapping[str, Any], *, textual: bool) -> Mapping[str, Any]:
        """Validate what came beside the question; the result becomes `Question.parameters`.

        `given` has a list of strings per name when `textual` (query, form), else JSON values. Names that the
        answerer does not know are left out. Raises BadQuestion, which names the faulty parameter.
        """
        return {}

    def at_hand(self, question: Question) -> Answer | None:
        """Return the answer if that needs neither waiting nor work, else None. Must not block or raise."""
        return None

    async def answer(self, question: Question) -> Answer:
        """Answer the question. Raises NoAnswer, or any other exception, which the client sees as a 500."""
        raise NotImplementedError

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield deltas of the text as they come, then the whole Answer, last and once.

        The deltas joined are the answer's text; where code cannot know its answer until the end, as some graphs, the
        whole Answer counts. Closing the iterator early stops the code.
        """
        answer = await self.answer(question)
        yield answer.text
        yield answer

    def statistics(self) -> Statistics:
        """Return what is counted now. Called from any thread; must be quick and must not raise."""
        return Statistics()
