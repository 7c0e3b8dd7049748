"""Answerer that forwards questions to another askd, or to any server with the same API."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import msgspec
import structlog

from askd.answerers.remote import errors, openapi
from askd.answerers.remote.base import DISCOVERY_TIMEOUT, RemoteAnswerer
from askd.answerers.remote.errors import problem_from_askd
from askd.answerers.remote.response import (
    EVENT_STREAM_MEDIA_TYPE,
    JSON_MEDIA_TYPE,
    StreamEvent,
    UpstreamResponse,
    decode_json_or_none,
)
from askd.errors import Problem
from askd.models import Answer, Question

_log = structlog.get_logger("askd.upstream")


class TextParameters(dict[str, Any]):
    """Parameters from a query or a form: a list of strings per name. They are forwarded as a form."""


class AskdAnswerer(RemoteAnswerer):
    """Forwards questions to another askd, and takes over the contract from its `/openapi.json`."""

    kind = "askd"
    name = "askd"

    @property
    def _path(self) -> str:
        """Path of the answerer that the URL names."""
        name = self.address.assistant
        return f"/ask/{quote(name, safe='')}" if name else "/ask"

    async def discover(self) -> None:
        """Read the contract; without one, the default contract applies. Raises Problem if the server is not ready."""
        deadline_at = self.upstream.deadline_after(DISCOVERY_TIMEOUT)
        async with await self.upstream.send("GET", "/openapi.json", deadline_at=deadline_at) as response:
            document = decode_json_or_none(await response.read_body()) if response.status == 200 else None
        if response.status == 429 or response.status >= 500:
            raise errors.problem_from_status(response.status, response.headers)
        title, self.supports_streaming = openapi.parse_title_and_streaming(document, self._path)
        self.name = title or "askd"
        self.contract = openapi.parse_contract(document, self._path)
        self.supports_threads = openapi.supports_threads(document, self._path)

    def parse_parameters(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        """Return the parameters unchanged: the other askd validates them."""
        return TextParameters(values) if from_strings else values

    async def answer(self, question: Question) -> Answer:
        """Return the other askd's answer. Raises its problem, such as NoAnswer or BadQuestion."""
        async with await self._send_question(question, JSON_MEDIA_TYPE) as response:
            return self._parse_answer(await response.read_json())

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the other askd's deltas, then its answer. Closing the iterator closes the other stream too."""
        async with (
            await self._send_question(question, EVENT_STREAM_MEDIA_TYPE) as response,
            aclosing(response.iter_events()) as events,
        ):
            async for event in events:
                if event.name == "delta" and isinstance(event.data, str):
                    yield event.data
                elif event.name == "answer":
                    yield self._parse_answer(event.data)
                    return
                elif event.name == "error":
                    raise self._to_problem(_get_error_status(event), event.data, response.headers)
        self.upstream.log_failure("stream_ended_early")
        raise errors.connection_lost()

    async def _send_question(self, question: Question, accept: str) -> UpstreamResponse:
        deadline_at = self.upstream.deadline_for(question)
        await self.ensure_discovered()
        body = _build_body_arguments(question)
        response = await self.upstream.send(
            "POST", self._path, question=question, deadline_at=deadline_at, accept=accept, **body
        )
        _log.debug("upstream_timing", status=response.status, server_timing=response.headers.get("Server-Timing", ""))
        if response.status == 200 and response.media_type == accept:
            return response
        async with response:
            problem_body = decode_json_or_none(await response.read_body())
        raise self._to_problem(response.status, problem_body, response.headers)

    def _to_problem(self, status: int, body: Any, headers: Mapping[str, str]) -> Problem:
        problem = errors.invalid_response() if status == 200 else problem_from_askd(status, body, headers)
        if problem.status >= 500:
            detail = body.get("detail") if isinstance(body, Mapping) else None
            self.upstream.log_failure("error_response", status=status, detail=detail)
        return problem

    def _parse_answer(self, body: Any) -> Answer:
        answer = body.get("answer") if isinstance(body, Mapping) else None
        if answer is None:
            self.upstream.log_failure("answer_missing", value_type=type(body).__name__)
            raise errors.invalid_response()
        fields = {name: value for name, value in body.items() if name != "answer"}
        if isinstance(answer, str):
            return Answer(answer, fields)
        return Answer(msgspec.json.encode(answer).decode(), fields, answer)


def _build_body_arguments(question: Question) -> dict[str, Any]:
    """Return the body as aiohttp's `json=` or, for text parameters, as a form in `data=`."""
    standard = {"q": question.text} | ({} if question.thread_id is None else {"thread": question.thread_id})
    if not isinstance(question.parameters, TextParameters):
        return {"json": {**question.parameters, **standard}}
    parameters = [(name, text) for name, values in question.parameters.items() for text in values]
    return {"data": [*parameters, *standard.items()]}


def _get_error_status(event: StreamEvent) -> int:
    status = event.data.get("status") if isinstance(event.data, Mapping) else None
    return status if isinstance(status, int) and 400 <= status < 600 else 502
