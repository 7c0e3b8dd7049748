"""One call of an MCP tool: from its arguments to the question, and from the answer to its result."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import msgspec
from aiohttp import hdrs
from msgspec import UNSET

from askd.api import rendering, request_values
from askd.api.formats import mcp_interrupts
from askd.api.formats.mcp_interrupts import StateSigner
from askd.api.formats.mcp_messages import McpError
from askd.api.formats.mcp_request import McpRequest, encode_event, encode_problem
from askd.api.formats.named_handler import NamedHandler, describe_problem
from askd.api.question_parser import AskRequest
from askd.api.streaming import AnswerEvent
from askd.errors import (
    AnswererFailed,
    BadQuestion,
    Interrupted,
    LoopDetected,
    NoAnswer,
    Problem,
    Refused,
    UpstreamFailed,
)
from askd.httpserver.negotiation import STREAM, Representation, quality
from askd.models import Answer

_TOOL_PROBLEMS: Final = (BadQuestion, NoAnswer, Refused, AnswererFailed, UpstreamFailed, LoopDetected)
"""Problems that are results with `isError`, because a model can correct its arguments or give up."""
_RETRYABLE_STATUSES: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class ToolCall:
    """One call of a tool: its question, and its result. Also encodes the events of its stream."""

    def __init__(self, request: McpRequest, served: NamedHandler, signer: StateSigner) -> None:
        self._request = request
        self._params = request.message.params
        self._served = served
        self._signer = signer
        self._question_name = served.answerer.contract.question.name
        self._thread: Any = ""
        """Id of the conversation in which an interrupted call continues, not validated; empty if it cannot."""
        self._has_temporary_thread = False
        self._prompt = ""
        """What the graph has asked the user, if the call is a reply to it."""
        self._progress = 0
        token, accept = self._params.meta.progress_token, request.http.headers.get(hdrs.ACCEPT, "")
        self.streams = token is not UNSET and served.answerer.supports_streaming and quality(accept, STREAM) > 0
        """Whether the response is a stream with progress."""

    def parse(self) -> AskRequest | dict[str, Any]:
        """Return the request to the answerer, or at once the result of a reply to an interrupt. Raises Problem.

        The result is the prompt again if there is no reply yet, and an error if the user declined.
        """
        arguments = request_values.parse_json_object(bytes(self._params.arguments))
        if self._params.request_state is not UNSET:
            action, reply = self._resume(self._params.request_state)
            if not action:
                return self._input_required(self._prompt)
            if action != "accept":
                return _error_result(f"The user did not reply ({action}) to: {self._prompt}")
            arguments.pop("q", None)  # in every format another name of the question
            arguments |= {self._question_name: reply, "thread": self._thread}
        elif self._served.answerer.supports_temporary_threads and not self._served.ask.pipeline.deterministic:
            # So that an interrupted call can be continued. Answers of deterministic code do not depend on a thread.
            self._has_temporary_thread = "thread" not in arguments
            self._thread = arguments.setdefault("thread", f"mcp-{uuid4()}")
        parser, headers, context = self._served.ask.question_parser, self._request.http.headers, self._request.context
        representation = Representation.STREAM if self.streams else Representation.JSON
        options = parser.make_response_options(context, headers, representation)
        ask_request = parser.parse_values(context, headers, options, arguments)
        if not self._has_temporary_thread:
            return ask_request
        question = msgspec.structs.replace(ask_request.question, thread_is_temporary=True)
        return ask_request._replace(question=question)

    def _resume(self, request_state: str) -> tuple[str, str | None]:
        """Find the thread of an interrupted call. Returns the user's action and reply. Raises McpError."""
        state = self._signer.verify(request_state, self._served.name, self._request.context.caller)
        if state is None:
            raise self._request.invalid_params(
                "requestState",
                "`requestState` is not valid, or more than an hour old. Call the tool again without it.",
            )
        self._thread, self._has_temporary_thread = state.thread, state.thread_is_temporary
        self._prompt = state.message
        return mcp_interrupts.parse_reply(self._params.input_responses)

    def result_of(self, answer: Answer) -> dict[str, Any]:
        """Return the result with an answer. Raises AnswererFailed if it cannot be serialized."""
        structured = msgspec.Raw(rendering.encode_answer(answer))
        return {"content": [{"type": "text", "text": answer.text}], "structuredContent": structured}

    def result_of_problem(self, error: Problem) -> dict[str, Any] | None:
        """Return the result that tells the model about a problem, or None if it must be an error of JSON-RPC instead.

        Those are errors of the protocol, of the server, and of too much load.
        """
        if isinstance(error, Interrupted):
            return self._interrupted_result(error)
        if isinstance(error, McpError) or not isinstance(error, _TOOL_PROBLEMS) or error.status in _RETRYABLE_STATUSES:
            return None
        if isinstance(error, BadQuestion) and self._prompt and self._params.meta.can_elicit:
            return self._input_required(self._prompt)
        # Problems name the question as `q`; the schema of the tool has its name in the code.
        text = describe_problem(error).replace("'q'", repr(self._question_name))
        is_failure = isinstance(error, AnswererFailed)
        return _error_result(f"{text} Request id: {self._request.context.request_id}." if is_failure else text)

    def encode(self, event: AnswerEvent) -> bytes:
        """Return a delta as a notification about progress, and an answer as the response."""
        if isinstance(event, Answer):
            return encode_event(self._request.encode_result(self.result_of(event)))
        self._progress += 1
        token = self._params.meta.progress_token
        params = {"progressToken": token, "progress": self._progress, "message": event}
        message = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        return encode_event(rendering.encode_json(message))

    def encode_problem(self, error: Problem, members: Mapping[str, Any]) -> bytes:
        """Return the response of a stream that failed."""
        result = self.result_of_problem(error)
        if result is None:
            return encode_event(encode_problem(self._request.http, error, members))
        return encode_event(self._request.encode_result(result))

    def _interrupted_result(self, error: Interrupted) -> dict[str, Any]:
        """Return a request for input, or a text that tells the model to ask the user.

        A request for input (elicitation) needs a client of the revision 2026-07-28 that can show forms. If the call
        cannot be continued, the result is an error.
        """
        message = mcp_interrupts.interrupt_message(error)
        if not self._thread:
            return _error_result(f"{message}\n\n{error.detail}")
        if self._request.is_modern and self._params.meta.can_elicit:
            return self._input_required(message)
        text = (
            f"The tool needs input before it can continue: {message}\n\nAsk the user, then call this tool again with "
            f"thread={self._thread!r} and the reply as {self._question_name!r}."
        )
        fields = {"answer": text, "interrupt": error.extensions.get("interrupt"), "thread": self._thread}
        return {"content": [{"type": "text", "text": text}], "structuredContent": fields}

    def _input_required(self, message: str) -> dict[str, Any]:
        name, caller = self._served.name, self._request.context.caller
        is_temporary = self._has_temporary_thread
        state = self._signer.sign(name, caller, self._thread, message, thread_is_temporary=is_temporary)
        requests = mcp_interrupts.input_request(message)
        return {"resultType": "input_required", "inputRequests": requests, "requestState": state}


def _error_result(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": True}
