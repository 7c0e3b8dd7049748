"""The question, the answer, and the protocol that every answerer implements."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol

import msgspec

ProgressCallback = Callable[[str], None]
"""Called with a line about the progress of a load; a `ProgressMessage` if the completed fraction is known."""


class ProgressMessage(str):  # noqa: SLOT000 - a str subclass with an attribute cannot have empty slots
    """A progress line with the completed `fraction` of the load, 0 to 1."""

    fraction: float

    @classmethod
    def with_fraction(cls, line: str, fraction: float) -> "ProgressMessage":
        """Return the line with its fraction, clamped to 0…1."""
        message = cls(line)
        message.fraction = min(max(fraction, 0.0), 1.0)
        return message


ReleaseCallback = Callable[[], object]
"""Releases a detached permit. Called once, on any thread, when the code that outlived its request has ended."""

detach_permit_var: Final[ContextVar[Callable[[], ReleaseCallback] | None]] = ContextVar(
    "askd_detach_permit", default=None
)
"""Detaches the permit of the current request from it.

Called on the event loop by an answerer whose code continues although its call was cancelled, because a thread cannot
be stopped. The concurrency limit counts the permit as taken until the returned callback is called.
"""


class ClientSpan(Protocol):
    """The trace span of a request to an upstream server. Send `headers` along with the request."""

    headers: Mapping[str, str]

    def record_status(self, status: int) -> None:
        """Record the HTTP status of the response."""
        ...

    def end(self, error: str = "") -> None:
        """End the span; later calls do nothing. `error` is one word for the failure, empty for success."""
        ...


class ClientSpanFactory(Protocol):
    """Starts client spans below the span of the current request."""

    def __call__(self, method: str, url: str) -> ClientSpan:
        """Start the span of a request to an upstream server."""
        ...

    def propagation_headers(self) -> Mapping[str, str]:
        """Return headers that make the span of the current request the parent of spans in another process."""
        ...


client_span_var: Final[ContextVar[ClientSpanFactory | None]] = ContextVar("askd_client_span", default=None)
"""For answerers that forward a question; None if tracing is off."""


class StageTimings(msgspec.Struct):
    """Seconds that a request spent in each stage; None if it skipped or did not reach the stage."""

    auth: float | None = None
    rate_limit: float | None = None
    cache: float | None = None
    queue: float | None = None
    answerer: float | None = None
    render: float | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question from a client. Two questions are the same if `text` and `parameters` are equal."""

    text: str
    parameters: Mapping[str, Any] = {}
    """Parameters other than the text, validated by `Answerer.parse_parameters`."""
    thread_id: str | None = None
    """The conversation that the question belongs to, or None. Questions with a thread are never cached or coalesced."""
    thread_is_temporary: bool = False
    """Whether no client has named the thread: the answerer deletes it after the answer, unless it waits for a reply."""
    history: Sequence[Mapping[str, str]] = ()
    """Messages before the question, as objects with `role` (system, user or assistant) and `content`, if the client
    sends the conversation with each question. Questions with a history are never cached or coalesced."""
    id: str = ""
    """The request id, as in the log and in `X-Request-Id`."""
    client: str = ""
    """Address of the client; empty without a connection, as in tests."""
    caller: str = ""
    """Name of the client's token; empty if authentication is off."""
    headers: Mapping[str, str] = {}
    """Request headers; lookup is case-insensitive."""
    stages: StageTimings = msgspec.field(default_factory=StageTimings)
    received_at: float = 0.0
    """Arrival time of the request's first byte, in seconds of `time.monotonic`."""
    deadline: float | None = None
    """Time by which the answer is due, in seconds of `time.monotonic`; None without a deadline."""

    @property
    def time_left(self) -> float | None:
        """Seconds until the deadline, negative if it has passed; None without a deadline."""
        return None if self.deadline is None else self.deadline - time.monotonic()


class Answer(msgspec.Struct, frozen=True):
    """The answer's text, and extra fields of the JSON response (never one called `answer`)."""

    text: str
    fields: Mapping[str, Any] = {}
    value: Any = None
    """The answer as a JSON value if it is not text; `text` is its JSON then. None means that the answer is the text."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A request parameter as OpenAPI shows it. `schema` is JSON Schema 2020-12."""

    name: str
    schema: Mapping[str, Any]
    required: bool = False
    description: str = ""


class QuestionForm(msgspec.Struct, frozen=True, kw_only=True):
    """How a request sends the question: as `q`, or under another name."""

    name: str = "q"
    """Name that a request may use instead of `q`."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema of the question. None means text; otherwise `parse_parameters` gets its value under `name`."""
    required: bool = True
    description: str = ""
    """What the question is about, if the code says more than that it is the question."""
    accepts_json: bool = False
    """Whether a text question may be another JSON value than text or null: its JSON is the text then."""
    passes_json: bool = False
    """Whether `parse_parameters` gets such a value under `name`. Requires `accepts_json`."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The part of OpenAPI and `/docs` that depends on the answerer."""

    summary: str = "Answers a question."
    description: str = ""
    question: QuestionForm = QuestionForm()
    parameters: Sequence[Parameter] = ()
    allows_unknown_parameters: bool = True
    """Whether a request may have parameters that are not in `parameters`."""
    answer_schema: Mapping[str, Any] | None = None
    """JSON Schema of the response object; None means a text `answer` and any other fields."""
    examples: Sequence[str] = ()
    """Questions that have an answer."""


class AnswererStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts for the metrics, read at each scrape from another thread. None if a count does not apply."""

    entries: int | None = None
    reloads: int | None = None
    reload_failures: int | None = None
    reload_failing: bool | None = None
    """Whether the last reload failed, so that the served version is older than the one on disk."""
    threads: int | None = None
    busy_threads: int | None = None
    queued_calls: int | None = None
    circuit_state: str | None = None
    """State of the circuit breaker: `closed`, `open` or `half_open`."""
    circuit_openings: int | None = None
    upstream_requests: Mapping[str, int] | None = None
    """Requests to the upstream server, by outcome."""
    worker_processes: int | None = None
    """Worker processes that have loaded the code."""
    busy_worker_processes: int | None = None
    worker_exits: Mapping[str, int] | None = None
    """Worker processes that were replaced, by reason."""
    worker_bytes: int | None = None
    """Resident memory of the worker processes together, in bytes."""


class Answerer(Protocol):
    """The code behind the server: anything that turns a question into an answer.

    Subclass it to inherit the defaults. `load` is awaited once before the first question, `close` once after the last.
    Calls overlap on one event loop, so blocking work must run in a thread.
    """

    kind: str
    """Kind of answerer, for metric labels and messages ("book", "function")."""
    name: str
    """Name for people: the spec, or the name of the file."""
    deterministic: bool = False
    """Whether the same question always gets the same answer while `version` is unchanged."""
    supports_streaming: bool = False
    """Whether `stream` yields deltas as they are produced, instead of one at the end."""
    supports_threads: bool = False
    """Whether a question may name a `thread`, a conversation that is remembered between questions."""
    supports_temporary_threads: bool = False
    """Whether a question may have a thread that the answerer deletes, as `Question.thread_is_temporary` says."""
    max_concurrency: int | None = None
    """Number of questions that can be answered at once; None means no limit. Known after `load`."""
    version: str = ""
    """Changes whenever a deterministic answer may have changed; equal on replicas that give the same answers."""
    contract: Contract = Contract()
    code_folders: Sequence[str] = ()
    """Folders that code in other processes was imported from, which `--reload` watches. Known after `load`."""

    async def load(self, progress: ProgressCallback) -> None:
        """Prepare to answer.

        Raises:
            LoadError: The answerer cannot be loaded; the message names the file, the line and the error.
        """
        return  # a body, so that type checkers accept subclasses without it

    async def close(self) -> None:
        """Release the resources that `load` acquired. Also called if `load` failed."""
        return  # a body, so that type checkers accept subclasses without it

    def warnings(self) -> Sequence[str]:
        """Return warnings for the operator, one line each. Called once, after `load`."""
        return ()

    def notes(self) -> Sequence[str]:
        """Return remarks for `askd check` about how questions reach the code, one line each."""
        return ()

    async def ready(self) -> tuple[bool, str]:
        """Return whether the answerer can answer now, and the reason if not.

        Called every second after `load`, with a time limit of one second.
        """
        return True, ""

    def parse_parameters(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        """Validate the request parameters other than the question; the result becomes `Question.parameters`.

        The question is among the values if `Contract.question` has a schema.

        Args:
            values: A list of strings per name if `from_strings` (query or form), else JSON values.
            from_strings: Whether to convert values from strings.

        Raises:
            BadQuestion: A parameter is missing or invalid; the error names it.
        """
        return {}

    def try_immediate(self, question: Question) -> Answer | None:
        """Return the answer if that takes neither waiting nor work, else None. Must not block or raise."""
        return None

    async def answer(self, question: Question) -> Answer:
        """Answer the question.

        Raises:
            NoAnswer: The question cannot be answered; the client gets a 404.
            Exception: Any other exception is a 500 for the client.
        """
        raise NotImplementedError

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield deltas of the text as they are produced, then the complete Answer once.

        The deltas joined are the answer's text. If the final text differs, which some graphs cannot avoid, the complete
        Answer counts. Closing the iterator early stops the code.
        """
        answer = await self.answer(question)
        yield answer.text
        yield answer

    def statistics(self) -> AnswererStatistics:
        """Return the current counts. Called from any thread; must be fast and must not raise."""
        return AnswererStatistics()
