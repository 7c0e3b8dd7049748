"""Messages between the server and a worker process: MessagePack with a tag, each after its length in four bytes.

Values of the user's code cross as JSON, with the same conversions as in a response.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

STREAM_WINDOW: Final = 16
"""Deltas that a worker may send before the server has passed them on (backpressure)."""
_LENGTH_BYTES: Final = 4


class Call(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """Ask a question. The fields are those of `Question` and of its request."""

    streams: bool
    text: str
    parameters: bytes
    """The parameters as the request has them, as JSON; may be empty."""
    from_strings: bool
    thread_id: str | None
    thread_is_temporary: bool
    id: str
    client: str
    caller: str
    headers: bytes
    """Lines `name:value`."""
    received_at: float
    deadline: float | None
    route: str
    trace_id: str
    span_id: str
    trace_headers: Mapping[str, str]
    """Headers that make the request's span the parent of the code's spans."""
    log_level: int
    """Minimum level of log lines, a number of `logging`."""


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Cancel the current call."""


class SendMore(msgspec.Struct, frozen=True, tag="send_more"):
    """Allow the current stream `count` more deltas."""

    count: int


class CheckReadiness(msgspec.Struct, frozen=True, tag="check_readiness"):
    """Call the `ready` hook."""


class CollectMetrics(msgspec.Struct, frozen=True, tag="collect_metrics"):
    """Send the metrics of the code."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Run the `shutdown` hook and exit."""


class Loading(msgspec.Struct, frozen=True, tag="loading"):
    """Progress of the load."""

    line: str
    fraction: float | None


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag="loaded"):
    """The code is loaded. The fields are the attributes of its answerer."""

    kind: str
    deterministic: bool
    supports_streaming: bool
    supports_threads: bool
    supports_temporary_threads: bool
    version: str
    contract: bytes
    """JSON, because its numbers are unbounded."""
    warnings: list[str]
    notes: list[str]
    parameter_parser: bytes
    """Pickled parser of the parameters. Empty if it depends on types of the code, so that only the worker can parse."""
    code_folders: list[str]
    """Folders that the code was imported from."""


class CodeException(msgspec.Struct, frozen=True, tag="exception"):
    """An exception of the code: the name of its class, its text, and the traceback as Python shows it."""

    name: str
    text: str
    traceback: str


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The code cannot be loaded, as in LoadError. `cause` is the exception of the code, or None."""

    message: str
    cause: CodeException | None


class Delta(msgspec.Struct, frozen=True, tag="delta"):
    """The next piece of a streamed answer."""

    text: str


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The complete answer, the end of a call."""

    text: str
    fields: bytes
    """JSON object; empty without fields."""
    value: bytes
    """JSON value; empty if the answer is the text."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The call raised a Problem or another exception, the end of a call."""

    code: str = ""
    """Code of the problem; empty for other exceptions."""
    status: int = 0
    detail: str = ""
    headers: Mapping[str, str] = {}
    extensions: bytes = b""
    """JSON object."""
    cause: CodeException | None = None
    """The exception, or the cause of the problem, or None."""


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """The call has ended after `Cancel`."""


class Died(msgspec.Struct, frozen=True, tag="died"):
    """The process has ended, which ends its call. The server makes this message itself."""

    reason: str
    """Such as `was killed by SIGSEGV`."""


class Readiness(msgspec.Struct, frozen=True, tag="readiness"):
    """Result of the `ready` hook."""

    ok: bool
    detail: str


class MetricSample(msgspec.Struct, frozen=True, array_like=True):
    """One sample of a metric family."""

    name: str
    labels: dict[str, str]
    value: float


class MetricFamily(msgspec.Struct, frozen=True, array_like=True):
    """A metric family of `prometheus_client`."""

    name: str
    documentation: str
    type: str
    unit: str
    samples: list[MetricSample]


class Metrics(msgspec.Struct, frozen=True, tag="metrics"):
    """The metrics of the code."""

    families: list[MetricFamily]


class LogLines(msgspec.Struct, frozen=True, tag="log"):
    """Log lines as JSON, each with a line break."""

    data: bytes


Request = Call | Cancel | SendMore | CheckReadiness | CollectMetrics | Stop
"""What the server sends."""
Ending = Answered | Failed | Cancelled | Died
"""The last event of a call."""
Event = Loading | Loaded | LoadFailed | Delta | Answered | Failed | Cancelled | Readiness | Metrics | LogLines
"""What a worker sends."""

_encoder: Final = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """Return the frame of a message."""
    data = _encoder.encode(message)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


class FrameReader:
    """Splits received bytes into messages."""

    def __init__(self, message_types: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(message_types)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Add received bytes, and yield the messages that are complete. Raises msgspec.DecodeError."""
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= _LENGTH_BYTES:
            start = position + _LENGTH_BYTES
            end = start + int.from_bytes(buffer[position:start], "big")
            if len(buffer) < end:
                break
            position = end
            yield self._decoder.decode(memoryview(buffer)[start:end])
        del buffer[:position]


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """Return request headers as lines. Bytes that are not UTF-8 are surrogates in `headers`."""
    return "\n".join([f"{name}:{value}" for name, value in headers.items()]).encode("utf-8", "surrogateescape")


def decode_headers(lines: bytes) -> list[tuple[str, str]]:
    """Return the names and values of `encode_headers`."""
    if not lines:
        return []
    pairs = (line.split(":", 1) for line in lines.decode("utf-8", "surrogateescape").split("\n"))
    return [(name, value) for name, value in pairs]
