"""`askd ask`: prints the answer to one question, streamed on a terminal."""

import codecs
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from askd.client import errors
from askd.client.errors import EXIT_UNREACHABLE, RequestFailed
from askd.client.http_client import MAX_BODY_SIZE, Response, Session, decode_json_or_none
from askd.client.target import OutgoingRequest, ServerTarget
from askd.sse_parser import EventTooLong, ServerSentEvent, SSEParser

TextWriter = Callable[[str], None]


def print_answer(target: ServerTarget, request: OutgoingRequest, write: TextWriter) -> None:
    """Send the question and write the text of the answer, piece by piece if it is streamed. Raises RequestFailed."""
    with Session(target) as session:
        response = session.ask(request)
        if response.is_event_stream:
            _print_stream(response, target, write)
        else:
            write(_extract_answer(decode_json_or_none(response.read_successful())) + "\n")


def print_response_body(target: ServerTarget, request: OutgoingRequest, write: TextWriter) -> None:
    """Send the question and write the response body unchanged. Raises RequestFailed."""
    with Session(target) as session:
        response = session.ask(request)
        if response.is_event_stream:
            for text in codecs.iterdecode(response.iter_chunks(), "utf-8", errors="replace"):
                write(text)
            return
        text = response.read_successful().decode(errors="replace")
        write(text if text.endswith("\n") else f"{text}\n")


def _extract_answer(content: Any) -> str:
    answer = content.get("answer") if isinstance(content, Mapping) else None
    if answer is None:
        raise errors.unexpected_response(200, "the response contains no answer")
    return answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()


def _print_stream(response: Response, target: ServerTarget, write: TextWriter) -> None:
    """Write the deltas, and then the answer if it differs from the concatenated deltas."""
    written = ""
    for event in _read_events(response):
        data = decode_json_or_none(event.data)
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


def _read_events(response: Response) -> Iterator[ServerSentEvent]:
    parser = SSEParser(MAX_BODY_SIZE)
    try:
        for chunk in response.iter_chunks():
            yield from parser.feed(chunk)
    except EventTooLong as error:
        raise errors.unexpected_response(200, str(error)) from None
