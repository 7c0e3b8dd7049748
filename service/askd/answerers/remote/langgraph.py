"""Answerer that forwards questions to an assistant of a LangGraph server.

It uses the server's HTTP API directly, without LangGraph's client library. A failed run has status 200, so the final
state is always checked before it is used.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from askd.answerers import graph_state
from askd.answerers.graph_stream import StreamedNodes, TokenStream
from askd.answerers.remote import errors
from askd.answerers.remote.address import RemoteAddress
from askd.answerers.remote.base import DISCOVERY_TIMEOUT, RemoteAnswerer
from askd.answerers.remote.http_client import UpstreamClient
from askd.answerers.remote.response import (
    EVENT_STREAM_MEDIA_TYPE,
    JSON_MEDIA_TYPE,
    UpstreamResponse,
    decode_json_or_none,
)
from askd.errors import Interrupted, LoadError, NoAnswer, RecursionLimit, UpstreamFailed
from askd.models import Answer, Contract, Question

MAX_ASSISTANTS: Final = 100
"""Number of assistants to list. If the list is full, it may be incomplete, so a configured name is not checked."""
ERROR_KEY: Final = "__error__"
"""Key of the error in the state of a failed run."""
_MAX_LOGGED_CHARACTERS: Final = 500
"""Maximum length in characters of a server message in the log."""
_MAX_LISTED_ASSISTANTS: Final = 8
_THREAD_NAMESPACE: Final = uuid5(NAMESPACE_URL, "tag:askd,thread")
"""Namespace of thread UUIDs. Changing it loses all conversations."""


class Assistant(NamedTuple):
    """An assistant of a LangGraph server."""

    id: str
    """Graph name or UUID for the API."""
    name: str
    """Display name."""
    summary: str = ""


class LangGraphAnswerer(RemoteAnswerer):
    """Forwards questions to one assistant of a LangGraph server.

    Args:
        address: Address of the server.
        upstream: Client for the server.
        readiness_requires_upstream: See `RemoteAnswerer`.
        input_key: Key of the graph's state for the question; None selects `messages`.
        output_key: Key of the graph's state for the answer; None selects `messages`.
    """

    kind = "langgraph"
    supports_streaming = True
    supports_threads = True

    def __init__(
        self,
        address: RemoteAddress,
        upstream: UpstreamClient,
        *,
        readiness_requires_upstream: bool = False,
        input_key: str | None = None,
        output_key: str | None = None,
    ) -> None:
        super().__init__(address, upstream, readiness_requires_upstream=readiness_requires_upstream)
        self.name = address.assistant or "langgraph"
        self._assistant_id = address.assistant
        self._input_key = input_key
        self._output_key = output_key
        self._streamed_nodes = StreamedNodes(None)

    async def discover(self) -> None:
        """Look up the assistant. Raises LoadError with the available assistants if it does not exist."""
        base_url = self.upstream.base_url
        deadline_at = self.upstream.deadline_after(DISCOVERY_TIMEOUT)
        async with await self.upstream.send(
            "POST", "/assistants/search", deadline_at=deadline_at, json={"limit": MAX_ASSISTANTS}
        ) as response:
            body = await response.read_body()
        if response.status in {401, 403}:
            if self.upstream.authorization.is_forwarded and self.address.assistant:
                self.name = self.address.assistant  # the server decides with the Authorization of each client
                return
            raise LoadError(f"{base_url} denied access: {self._access_hint()}")
        if 400 <= response.status < 500 and response.status != 429:
            hint = f": to use an askd server, give ask+{base_url}" if response.headers.get("Server") == "askd" else ""
            raise LoadError(
                f"{base_url} is not a LangGraph server: /assistants/search returned {response.status}{hint}"
            )
        if response.status != 200:
            raise errors.problem_from_status(response.status, response.headers)
        assistant = select_assistant(decode_json_or_none(body), self.address.assistant, base_url)
        if assistant.id != self._assistant_id:
            self._streamed_nodes = StreamedNodes(None)
        self._assistant_id, self.name = assistant.id, assistant.name
        self.contract = Contract(summary=assistant.summary or Contract().summary)

    def _access_hint(self) -> str:
        if self.upstream.authorization.is_forwarded:
            return f"name the assistant, such as {self.upstream.base_url}#agent, because clients have the authorization"
        return (
            "give a valid API key in a file with --upstream-api-key-file, or a token in a file with "
            "--upstream-authorization"
        )

    async def answer(self, question: Question) -> Answer:
        """Run the assistant and return the answer from its final state. Raises NoAnswer and other problems."""
        async with await self._start_run(question, "wait", accept=JSON_MEDIA_TYPE) as response:
            state = await response.read_json()
        return self._parse_answer(state, question)

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the tokens of the answering node, then the answer. Closing the iterator cancels the run."""
        token_stream, state = TokenStream(self._streamed_nodes), None
        async with (
            await self._start_run(question, "stream", accept=EVENT_STREAM_MEDIA_TYPE) as response,
            aclosing(response.iter_events()) as events,
        ):
            async for event in events:
                if event.name == "messages":
                    if delta := extract_delta(token_stream, event.data):
                        yield delta
                elif event.name == "error":
                    state = {ERROR_KEY: event.data}
                    break
                elif is_state_event(event.name, event.data):
                    token_stream.finish_step()
                    state = event.data
        answer = self._parse_answer(state, question)
        if rest := token_stream.finish(answer.text):
            yield rest
        yield answer

    async def _start_run(self, question: Question, mode: str, *, accept: str) -> UpstreamResponse:
        """Start a run. `mode` is "wait" or "stream". Raises Problem, also for every error status."""
        deadline_at = self.upstream.deadline_for(question)
        await self.ensure_discovered()
        thread = None if question.thread_id is None else derive_thread_uuid(question.thread_id)
        interrupts = [] if thread is None else await self._get_interrupts(thread, question, deadline_at)
        if interrupts:
            run_input: dict[str, Any] = {"command": {"resume": build_resume_value(question.text, interrupts)}}
        else:
            run_input = {"input": graph_state.build_input(question, self._input_key)}
        body = build_run_request(self._assistant_id, run_input, has_thread=thread is not None, stream=mode == "stream")
        path = f"/runs/{mode}" if thread is None else f"/threads/{thread}/runs/{mode}"
        response = await self.upstream.send(
            "POST", path, question=question, deadline_at=deadline_at, accept=accept, json=body
        )
        if response.status == 200 and accept in {response.media_type, JSON_MEDIA_TYPE}:
            return response
        async with response:
            await self._handle_rejection(response)
        if response.status == 200:
            raise errors.invalid_response()
        raise errors.problem_from_status(response.status, response.headers)

    async def _get_interrupts(self, thread: UUID, question: Question, deadline_at: float) -> list[Any]:
        """Return the interrupts that wait for a reply in this thread; the question is that reply then."""
        path = f"/threads/{thread}"
        async with await self.upstream.send("GET", path, question=question, deadline_at=deadline_at) as response:
            if response.status == 404:
                return []
            if response.status != 200:
                self.upstream.log_failure("thread_state_unavailable", status=response.status)
                raise errors.problem_from_status(response.status, response.headers)
            state = await response.read_json()
        by_task = state.get("interrupts") if isinstance(state, dict) else None
        if isinstance(by_task, dict):
            return [
                interrupt for interrupts in by_task.values() if isinstance(interrupts, list) for interrupt in interrupts
            ]
        return by_task if isinstance(by_task, list) else []

    async def _handle_rejection(self, response: UpstreamResponse) -> None:
        """Log the reason. If the assistant may have been deleted, repeat the discovery before the next question."""
        body = await response.read_body()
        self.upstream.log_failure(
            "error_response",
            status=response.status,
            media_type=response.media_type,
            detail=format_server_message(body),
        )
        if response.status in {404, 422} and not self.address.assistant:
            self.is_discovered = False

    def _parse_answer(self, state: Any, question: Question) -> Answer:
        return parse_answer(self.upstream, state, question, self._output_key)


def select_assistant(assistants: Any, name: str, base_url: str) -> Assistant:
    """Return the assistant with this graph name or UUID, or the only one if `name` is empty.

    Args:
        assistants: Response body of `/assistants/search`.
        name: Graph name or UUID from the spec, or an empty string.
        base_url: URL of the server, for error messages.

    Raises:
        LoadError: The assistant does not exist, or the spec must choose one of several. The message lists them.
    """
    if not isinstance(assistants, list) or not all(
        isinstance(assistant, Mapping) and "assistant_id" in assistant for assistant in assistants
    ):
        raise LoadError(f"{base_url} is not a LangGraph server: /assistants/search did not return a list of assistants")
    if name:
        return _find_assistant(assistants, name, base_url)
    if not assistants:
        raise LoadError(
            f"{base_url} lists no assistants: deploy a graph, or give an API key with --upstream-api-key-file"
        )
    if len(assistants) > 1:
        raise LoadError(
            f"{base_url} has several assistants ({_format_assistants(assistants)}): choose one, such as "
            f"{base_url}#{_get_url_fragment(assistants[0])}"
        )
    assistant = assistants[0]
    return Assistant(str(assistant["assistant_id"]), _get_display_name(assistant), _get_summary(assistant))


def _find_assistant(assistants: Sequence[Mapping[str, Any]], name: str, base_url: str) -> Assistant:
    for assistant in assistants:
        if name in {assistant["assistant_id"], assistant.get("graph_id")}:
            return Assistant(name, _get_display_name(assistant), _get_summary(assistant))
    if assistants and len(assistants) < MAX_ASSISTANTS:
        raise LoadError(
            f"{base_url} has no assistant {name!r} (it has {_format_assistants(assistants)}): choose one, such as "
            f"{base_url}#{_get_url_fragment(assistants[0])}"
        )
    return Assistant(name, name)  # servers may hide assistants from clients that are allowed to run them


def _format_assistants(assistants: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(map(_get_url_fragment, assistants)))
    return ", ".join(names[:_MAX_LISTED_ASSISTANTS]) + (", …" if len(names) > _MAX_LISTED_ASSISTANTS else "")


def _get_url_fragment(assistant: Mapping[str, Any]) -> str:
    """Return the graph name for the default assistant of a graph, else the UUID."""
    metadata = assistant.get("metadata")
    is_default = isinstance(metadata, Mapping) and metadata.get("created_by") == "system"
    return str(assistant["graph_id"] if is_default and assistant.get("graph_id") else assistant["assistant_id"])


def _get_display_name(assistant: Mapping[str, Any]) -> str:
    return str(assistant.get("name") or assistant.get("graph_id") or assistant["assistant_id"])


def _get_summary(assistant: Mapping[str, Any]) -> str:
    description = assistant.get("description")
    return description.strip() if isinstance(description, str) else ""


def build_resume_value(text: str, interrupts: Sequence[Any]) -> Any:
    """Return the reply in the text, as LangGraph takes it.

    A mapping and a reply to one of several interrupts need the id of the interrupt, because LangGraph reads a mapping
    as replies by id.
    """
    reply = graph_state.parse_reply(text)
    interrupt_id = graph_state.get_field(interrupts[0], "id")
    needs_id = isinstance(reply, dict) or len(interrupts) > 1
    return {interrupt_id: reply} if needs_id and isinstance(interrupt_id, str) else reply


def build_run_request(
    assistant_id: str, run_input: dict[str, Any], *, has_thread: bool, stream: bool
) -> dict[str, Any]:
    """Return the body of the request that starts a run. It is explicit, because servers have different defaults."""
    body = {"assistant_id": assistant_id, **run_input, "on_disconnect": "cancel"}
    if stream:
        body["stream_mode"] = ["messages-tuple", "values"]
    if has_thread:
        return body | {"if_not_exists": "create", "multitask_strategy": "enqueue"}
    return body | {"on_completion": "delete"}


def extract_delta(token_stream: TokenStream, data: Any) -> str:
    """Return the text that a `messages` event adds. Its data is a list of a message chunk and metadata."""
    if not isinstance(data, list) or not data:
        return ""
    metadata = data[1] if len(data) > 1 and isinstance(data[1], dict) else {}
    return token_stream.add_chunk((), data[0], metadata)


def is_state_event(event_name: str, data: Any) -> bool:
    """Return whether the data of an event is a state, or has the error or interrupts of one."""
    return isinstance(data, dict) and (event_name == "values" or ERROR_KEY in data or graph_state.INTERRUPT_KEY in data)


def check_state(upstream: UpstreamClient, state: Any, question: Question) -> None:
    """Check that a run has succeeded.

    Raises:
        UpstreamFailed: The run failed or ended without a state.
        RecursionLimit: The graph reached its recursion limit.
        Interrupted: The graph needs a reply.
    """
    if state is None:
        upstream.log_failure("run_state_missing")
        raise UpstreamFailed("The graph ended without an answer. The server log has the cause under this request id.")
    if isinstance(state, dict) and ERROR_KEY in state:
        failure = state[ERROR_KEY]
        error_type = graph_state.get_field(failure, "error")
        message = graph_state.get_field(failure, "message")
        upstream.log_failure("run_failed", error=error_type, detail=format_server_message(message))
        if error_type == "GraphRecursionError":
            raise RecursionLimit
        raise UpstreamFailed("The graph failed. The server log has the cause under this request id.")
    if interrupts := graph_state.get_interrupts(state):
        hint = (
            "Send the reply as a question in the same thread."
            if question.thread_id is not None
            else "Ask with a `thread`: without one the graph cannot get a reply."
        )
        raise Interrupted(
            f"The graph waits for input, described by `interrupt`. {hint}",
            interrupt=interrupts[0] if len(interrupts) == 1 else interrupts,
        )


def parse_answer(upstream: UpstreamClient, state: Any, question: Question, output_key: str | None) -> Answer:
    """Return the answer from a final state. Raises NoAnswer if it is empty, and the exceptions of `check_state`."""
    check_state(upstream, state, question)
    try:
        text = graph_state.get_answer_text(state, question, output_key)
    except KeyError as error:
        upstream.log_failure("answer_missing", error=error.args[0])
        raise errors.invalid_response() from error
    if text is not None:
        return Answer(text)
    output = state[output_key or graph_state.MESSAGES_KEY]
    if output is None or graph_state.are_messages(output):
        raise NoAnswer
    return graph_state.answer_from_value(output, {})


def format_server_message(message: Any) -> str:
    """Return a message of the server for the log: on one line and shortened."""
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return " ".join(text.split())[:_MAX_LOGGED_CHARACTERS]


def derive_thread_uuid(thread: str) -> UUID:
    """Return the UUID of a conversation: equal on all replicas, and distinct from those of other programs."""
    return uuid5(_THREAD_NAMESPACE, thread)
