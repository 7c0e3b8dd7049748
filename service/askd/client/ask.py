"""`askd ask`: one question, and its answer, streamed where a person reads it."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import aiohttp

from service.answerers.remote.sse import Event, Reader, TooLong
from service.client import faults
from service.client.failed import Failed
from service.client.session import LARGEST, Session
from service.client.target import Target, Wanted
from service.client.text import loosely

STREAM: Final = "text/event-stream"

Write = Callable[[str], None]


async def ask(target: Target, wanted: Wanted, write: Write) -> None:
    """Ask, and write the answer's text, piece by piece where it comes as a stream. Raises Failed."""
    async with Session(target) as session, session.ask(wanted) as response:
        if response.status == 200 and response.content_type == STREAM:
            await _streamed(response, target, write)
            return
        found = loosely(await _whole(session, response, target))
        write(_answer(found) + "\n")


async def raw(target: Target, wanted: Wanted, write: Write) -> None:
    """Ask, and write the body as it comes. Raises Failed."""
    async with Session(target) as session, session.ask(wanted) as response:
        if response.status == 200 and response.content_type == STREAM:
            async for chunk in response.content.iter_any():
                write(chunk.decode(errors="replace"))
            return
        text = (await _whole(session, response, target)).decode(errors="replace")
        write(text if text.endswith("\n") else f"{text}\n")


async def _whole(session: Session, response: aiohttp.ClientResponse, target: Target) -> bytes:
    body = await session.body(response)
    if response.status != 200:
        raise faults.refused(response.status, response.headers, loosely(body), target)
    return body


def _answer(found: Any) -> str:
    if not isinstance(found, Mapping) or not isinstance(found.get("answer"), str):
        raise faults.senseless(200, "what came is no answer of askd's")
    return str(found["answer"])


async def _streamed(response: aiohttp.ClientResponse, target: Target, write: Write) -> None:
    """Write the deltas; then the answer, where it is not what the deltas came to."""
    said = ""
    async for event in _events(response):
        found = loosely(event.data.encode())
        if event.name == "delta" and isinstance(found, str):
            said += found
            write(found)
        elif event.name == "answer":
            answer = _answer(found)
            write("\n" if said == answer else f"\n\n{answer}\n" if said else f"{answer}\n")
            return
        elif event.name == "error":
            write("\n" if said else "")
            status = found.get("status") if isinstance(found, Mapping) else None
            raise faults.refused(status if isinstance(status, int) else 500, response.headers, found, target)
    raise Failed(3, "answer", "the stream ended without an answer", "ask again if asking twice does no harm")


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    reader = Reader(LARGEST)
    try:
        async for chunk in response.content.iter_any():
            for event in reader.feed(chunk):
                yield event
    except TooLong as fault:
        raise faults.senseless(200, str(fault)) from None
