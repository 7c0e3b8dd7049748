"""Upstream responses: reads the body as JSON or as server-sent events, within the question's deadline."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import aiohttp
import msgspec

from askd.answerers.remote import errors
from askd.answerers.remote.outcome_recorder import OutcomeRecorder
from askd.sse_parser import EventTooLong, SSEParser

JSON_MEDIA_TYPE: Final = "application/json"
EVENT_STREAM_MEDIA_TYPE: Final = "text/event-stream"
MAX_RESPONSE_SIZE: Final = 16 << 20
"""Maximum size of a response in bytes, and of one event in characters."""


class StreamEvent(NamedTuple):
    """One event of a stream, with its data decoded from JSON."""

    name: str
    data: Any


class UpstreamResponse:
    """A response whose headers have arrived. Use it as a context manager.

    If the context is left before the body is read, the connection is closed, so that the server can stop working.

    Args:
        response: The aiohttp response.
        deadline_at: Event-loop time at which reading times out.
        event_timeout: Maximum number of seconds between two events of a stream; each event moves `deadline_at`.
            None keeps `deadline_at` fixed.
        translate_errors: Context manager that turns aiohttp's exceptions into problems.
        outcome_recorder: Receives the outcome.
        log_failure: Logs details that the client must not see.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        *,
        deadline_at: float,
        event_timeout: float | None,
        translate_errors: Callable[[], AbstractContextManager[None]],
        outcome_recorder: OutcomeRecorder,
        log_failure: Callable[..., None],
    ) -> None:
        self._response = response
        self._deadline_at = deadline_at
        self._event_timeout = event_timeout
        self._translate_errors = translate_errors
        self._outcome_recorder = outcome_recorder
        self._log_failure = log_failure
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.media_type = response.content_type

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        self._response.release()  # closes the connection unless the whole body was read
        if error_type is None or issubclass(error_type, Exception):
            self._outcome_recorder.record_completion()
            self._outcome_recorder.end_client_span(error_type.__name__ if error_type else "")
        else:
            self._outcome_recorder.record_cancelled()

    async def read_body(self) -> bytes:
        """Return the whole body. Raises Problem, also if the body exceeds MAX_RESPONSE_SIZE."""
        chunks, size = [], 0
        while chunk := await self._read_chunk():
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_RESPONSE_SIZE:
                self._log_failure("answer_too_large", size_bytes=size)
                raise errors.invalid_response()
        return b"".join(chunks)

    async def read_json(self) -> Any:
        """Return the body decoded from JSON. Ignores leading whitespace, which servers send as a keep-alive.

        Raises Problem if the body is not JSON.
        """
        return self._decode_json(await self.read_body())

    async def iter_events(self) -> AsyncGenerator[StreamEvent, None]:
        """Yield events until the body ends or an event named `end` arrives. Raises Problem."""
        parser = SSEParser(MAX_RESPONSE_SIZE)
        while chunk := await self._read_chunk():
            try:
                for event in parser.feed(chunk):
                    if event.name == "end":
                        return
                    self._outcome_recorder.record_event()
                    yield StreamEvent(event.name, self._decode_json(event.data))
                    if self._event_timeout is not None:
                        self._deadline_at = asyncio.get_running_loop().time() + self._event_timeout
            except EventTooLong as error:
                self._log_failure("invalid_stream", error=str(error))
                raise errors.invalid_response() from error

    async def _read_chunk(self) -> bytes:
        with self._translate_errors():
            async with asyncio.timeout_at(self._deadline_at):
                return await self._response.content.readany()

    def _decode_json(self, text: bytes | str) -> Any:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            self._log_failure(
                "invalid_json", error=str(error), status=self.status, media_type=self.media_type, length=len(text)
            )
            raise errors.invalid_response() from error


def decode_json_or_none(body: bytes) -> Any:
    """Return the decoded JSON, or None if the body is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
