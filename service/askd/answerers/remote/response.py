"""A response that has begun: its body whole, as JSON or as events, within the question's deadline."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import aiohttp
import msgspec

from service.answerers.remote import faults
from service.answerers.remote.judge import Judge
from service.answerers.remote.sse import Reader, TooLong

JSON: Final = "application/json"
STREAM: Final = "text/event-stream"
LARGEST: Final = 16 << 20
"""Bytes of an answer, or characters of one event, that are read."""


class Told(NamedTuple):
    """One event of a stream, its data read as JSON."""

    name: str
    data: Any


class Reply:
    """A response. Left early, its connection is closed, by which the server sees that nobody waits any more.

    `until` is the loop's time at which reading ends; a stream has `between` seconds from each event to the next
    instead. `translated` turns the library's errors into Problems, `judge` is told how it ends, `note` logs what our
    own client is not told.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        *,
        until: float,
        between: float | None,
        translated: Callable[[], AbstractContextManager[None]],
        judge: Judge,
        note: Callable[..., None],
    ) -> None:
        self._response = response
        self._until = until
        self._between = between
        self._translated = translated
        self._judge = judge
        self._note = note
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.media_type = response.content_type

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._response.release()  # closes the connection, unless the body was read to its end
        if kind is None or issubclass(kind, Exception):
            self._judge.ended()
            self._judge.closed(kind.__name__ if kind else "")
        else:
            self._judge.left()

    async def body(self) -> bytes:
        """Return the whole body. Raises Problem, also when it is larger than LARGEST."""
        found, size = [], 0
        while chunk := await self._chunk():
            found.append(chunk)
            size += len(chunk)
            if size > LARGEST:
                self._note("the answer is too large", bytes=size)
                raise faults.senseless()
        return b"".join(found)

    async def json(self) -> Any:
        """Return the body as JSON; white space before it keeps connections alive. Raises Problem."""
        return self._decoded(await self.body())

    async def events(self) -> AsyncGenerator[Told, None]:
        """Yield events until the body ends, or one says that it does. Raises Problem."""
        reader = Reader(LARGEST)
        while chunk := await self._chunk():
            try:
                for event in reader.feed(chunk):
                    if event.name == "end":
                        return
                    self._judge.event()
                    yield Told(event.name, self._decoded(event.data))
                    if self._between is not None:
                        self._until = asyncio.get_running_loop().time() + self._between
            except TooLong as fault:
                self._note("the stream is no good", error=str(fault))
                raise faults.senseless() from fault

    async def _chunk(self) -> bytes:
        with self._translated():
            async with asyncio.timeout_at(self._until):
                return await self._response.content.readany()

    def _decoded(self, text: bytes | str) -> Any:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as fault:
            self._note("no JSON", error=str(fault), status=self.status, type=self.media_type, length=len(text))
            raise faults.senseless() from fault


def loosely(body: bytes) -> Any:
    """Return what JSON says, and None where it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
