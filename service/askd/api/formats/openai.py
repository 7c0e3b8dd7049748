"""OpenAI's chat completions at `/v1/chat/completions` and `/v1/models`: each answerer is a model.

The subset that a text answerer can honour: the last message is the question, the messages before it are its history.
The API key is askd's token.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from time import time
from typing import Any, Final

from aiohttp import web

from askd.api import rendering
from askd.api.formats.named_handler import NamedHandler, describe_problem, find_by_name, read_json
from askd.api.formats.openai_request import ChatRequest, parse_chat_request
from askd.api.streaming import AnswerEvent
from askd.context import RequestContext, get_request_context
from askd.errors import NotFound, Problem
from askd.httpserver.negotiation import Representation
from askd.httpserver.router import Router
from askd.models import Answer

_ERROR_TYPES: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}
_USAGE_NAMES: Final = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
"""Members of OpenAI's usage, and their names in newer APIs."""


class OpenAiEndpoint:
    """Serves the chat completions of the answerers."""

    def __init__(self, answerers: Sequence[NamedHandler]) -> None:
        self._answerers = answerers
        self._started_at = int(time())

    def register_routes(self, router: Router) -> None:
        """Add the routes."""
        common: dict[str, Any] = {"requires_admission": True, "encode_problem": encode_problem}
        router.add("/v1/chat/completions", {"POST": self.complete}, **common)
        router.add("/v1/models", {"GET": self.list_models}, **common)

    async def list_models(self, _request: web.Request) -> web.StreamResponse:
        """`GET /v1/models`: the answerers."""
        common = {"object": "model", "created": self._started_at, "owned_by": "askd"}
        models = [{"id": served.name, **common} for served in self._answerers]
        return rendering.json_response(rendering.encode_json({"object": "list", "data": models}))

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/chat/completions`."""
        context, headers = get_request_context(), request.headers
        chat = parse_chat_request(await read_json(self._answerers, request))
        served = self._find_model(chat.model)
        ask, parser = served.ask, served.ask.question_parser
        parser.require_loaded()
        representation = Representation.STREAM if chat.streams else Representation.JSON
        options = parser.make_response_options(context, headers, representation)
        ask_request = parser.parse_values(
            context, headers, options, chat.values_for(served.answerer), history=chat.history
        )
        execution = ask.begin(request, ask_request)
        completion = Completion(context, served.name, chat)
        if chat.streams:
            return await ask.stream(request, execution, completion, event_timeout=options.event_timeout)
        return rendering.json_response(completion.encode_answer(await ask.wait_for_answer(context, execution)))

    def _find_model(self, name: str) -> NamedHandler:
        """Return the answerer; the first one if the request names none."""
        served = find_by_name(self._answerers, name) if name else self._answerers[0]
        if served is None:
            names = ", ".join(served.name for served in self._answerers)
            raise NotFound(f"The model {name[:100]!r} does not exist. Use one of {names}.", parameter="model")
        return served


class Completion:
    """One completion. Encodes the answer, or the events of its stream as chunks."""

    def __init__(self, context: RequestContext, model: str, chat: ChatRequest) -> None:
        self._common = {"id": f"chatcmpl-{context.request_id}", "created": int(time()), "model": model}
        self._chat = chat
        self._sent = ""
        self._has_begun = False

    def encode_answer(self, answer: Answer) -> bytes:
        """Return the whole completion. Raises AnswererFailed if the text cannot be serialized."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return rendering.encode_json(
            {**self._common, "object": "chat.completion", "choices": [choice], "usage": _usage(answer)}
        )

    def encode(self, event: AnswerEvent) -> bytes:
        """Return a chunk for a delta; for the answer, the rest of the text and the end of the stream."""
        if isinstance(event, str):
            self._sent += event
            return self._chunk({"content": event})
        # A text that does not begin with the deltas cannot replace them.
        rest = event.text.removeprefix(self._sent) if event.text.startswith(self._sent) else ""
        last = self._chunk({"content": rest}) if rest else b""
        last += self._chunk({}, finish_reason="stop")
        if self._chat.includes_usage:
            chunk = {**self._common, "object": "chat.completion.chunk", "choices": [], "usage": _usage(event)}
            last += _encode_event(rendering.encode_json(chunk))
        return last + _encode_event(b"[DONE]")

    def encode_problem(self, error: Problem, members: Mapping[str, Any]) -> bytes:
        """Return the error that ends a stream."""
        return _encode_event(_encode_error(error))

    def _chunk(self, delta: dict[str, str], *, finish_reason: str | None = None) -> bytes:
        delta = delta if self._has_begun else {"role": "assistant", "content": "", **delta}
        self._has_begun = True
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _encode_event(
            rendering.encode_json({**self._common, "object": "chat.completion.chunk", "choices": [choice]})
        )


def _usage(answer: Answer) -> dict[str, int]:
    """Return the numbers of tokens in the field `usage` of the answer; zero if they are unknown."""
    reported = answer.fields.get("usage")
    found = reported if isinstance(reported, Mapping) else {}
    counts = {name: found.get(name, found.get(other)) for name, other in _USAGE_NAMES.items()}
    usage = {name: count if isinstance(count, int) else 0 for name, count in counts.items()}
    return {**usage, "total_tokens": sum(usage.values())}


def _encode_event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def encode_problem(_request: web.Request, error: Problem, _members: Mapping[str, Any]) -> bytes:
    """Return a problem in OpenAI's format."""
    return _encode_error(error)


def _encode_error(error: Problem) -> bytes:
    status, parameter = int(error.status), error.extensions.get("parameter")
    default_type = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    is_model = isinstance(error, NotFound) and parameter == "model"
    members = {
        "message": describe_problem(error),
        "type": "invalid_request_error" if is_model else _ERROR_TYPES.get(status, default_type),
        "param": parameter,
        "code": "model_not_found" if is_model else error.code.replace("-", "_"),
    }
    return rendering.encode_json({"error": members})
