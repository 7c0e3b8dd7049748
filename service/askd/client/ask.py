"""`askd ask`: prints the answer to one question, streamed on a terminal."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import aiohttp
import msgspec

from askd.client import errors
from askd.client.errors import EXIT_UNREACHABLE, RequestFailed
from askd.client.request_measurement import decode_json_or_none
from askd.client.session import MAX_BODY_SIZE, Session
from askd.client.target import OutgoingRequest, ServerTarget
from askd.sse import EventTooLong, ServerSentEvent, SSEParser

EVENT_STREAM_TYPE: Final = "text/event-stream"

TextWriter = Callable[[str], None]


async def print_answer(target: ServerTarget, request: OutgoingRequest, write: TextWriter) -> None:
    """Send the question and write the text of the answer, piece by piece if it is streamed. Raises RequestFailed."""
    async with Session(target) as session, session.ask(request) as response:
        if _is_event_stream(response):
            await _print_stream(response, target, write)
            return
        content = decode_json_or_none(await _read_successful_body(session, response, target))
        write(_extract_answer(content) + "\n")


async def print_response_body(target: ServerTarget, request: OutgoingRequest, write: TextWriter) -> None:
    """Send the question and write the response body unchanged. Raises RequestFailed."""
    async with Session(target) as session, session.ask(request) as response:
        if _is_event_stream(response):
            async for chunk in response.content.iter_any():
                write(chunk.decode(errors="replace"))
            return
        text = (await _read_successful_body(session, response, target)).decode(errors="replace")
        write(text if text.endswith("\n") else f"{text}\n")


def _is_event_stream(response: aiohttp.ClientResponse) -> bool:
    return response.status == 200 and response.content_type == EVENT_STREAM_TYPE


async def _read_successful_body(session: Session, response: aiohttp.ClientResponse, target: ServerTarget) -> bytes:
    body = await session.read_body(response)
    if response.status != 200:
        raise errors.failure_from_response(response.status, response.headers, decode_json_or_none(body), target)
    return body


def _extract_answer(content: Any) -> str:
    answer = content.get("answer") if isinstance(content, Mapping) else None
    if answer is None:
        raise errors.unexpected_response(200, "the response contains no answer")
    return answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()


async def _print_stream(response: aiohttp.ClientResponse, target: ServerTarget, write: TextWriter) -> None:
    """Write the deltas, and then the answer if it differs from the concatenated deltas."""
    written = ""
    async for event in _read_events(response):
        data = decode_json_or_none(event.data.encode())
        if event.name == "delta" and isinstance(data, str):
            written += data
            write(data)
        elif event.name == "answer":
            answer = _extract_answer(data)
            write("\n" if written == answer else f"\n\n{answer}\n" if written else f"{answer}\n")
            return
        elif event.name == "error":
            write("\n" if written else "")
            status = data.get("status") if isinstance(data, Mapping) else None
            raise errors.failure_from_response(
                status if isinstance(status, int) else 500, response.headers, data, target
            )
    raise RequestFailed(
        EXIT_UNREACHABLE, "answer", "the stream ended without an answer", "retry if it is safe to repeat the question"
    )


async def _read_events(response: aiohttp.ClientResponse) -> AsyncIterator[ServerSentEvent]:
    parser = SSEParser(MAX_BODY_SIZE)
    try:
        async for chunk in response.content.iter_any():
            for event in parser.feed(chunk):
                yield event
    except EventTooLong as error:
        raise errors.unexpected_response(200, str(error)) from None
