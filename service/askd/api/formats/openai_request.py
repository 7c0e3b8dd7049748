"""Requests of OpenAI's chat completions: the question, the messages before it, and the parameters of the answerer."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from askd.api import request_values
from askd.errors import BadQuestion
from askd.models import Answerer

_ROLES: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""Roles of messages, and what graphs and functions see."""
_UNSUPPORTED: Final[Mapping[str, Sequence[Any]]] = {
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
}
"""Parameters that a text answerer cannot honour, with the values that ask for nothing special; null is one too."""
_OWN_PARAMETERS: Final = frozenset({"messages", "model", "stream", "stream_options"})
"""Parameters of the format, which are never those of the answerer."""
_HISTORY_NAMES: Final = ("history", "chat_history")
"""Parameters of chat functions that get the messages before the question."""


class ContentPart(msgspec.Struct):
    """A part of a message."""

    type: Annotated[str, Meta(extra_json_schema={"enum": ["text"]})]
    text: str = ""


class ChatMessage(msgspec.Struct):
    """A message of the conversation."""

    role: Annotated[str, Meta(extra_json_schema={"enum": [*_ROLES]})]
    content: str | list[ContentPart] | None = None


class StreamOptions(msgspec.Struct):
    """Options of a stream."""

    include_usage: bool = False


class ChatCompletionRequest(msgspec.Struct):
    """A request of chat completions. Members that the answerer does not declare, such as `temperature`, are ignored."""

    messages: Annotated[
        list[ChatMessage], Meta(min_length=1, description="The last one is the question, and has the role `user`.")
    ]
    model: Annotated[str, Meta(description="One of `/v1/models`. Without it, the first one answers.")] = ""
    stream: Annotated[bool | None, Meta(description="Whether to send chunks as events.")] = None
    stream_options: StreamOptions | None = None


class ChatRequest(NamedTuple):
    """A parsed request."""

    model: str
    """Name of the model; empty if the request names none."""
    text: str
    """The last message, which is the user's."""
    history: Sequence[Mapping[str, str]]
    """The messages before it, with `role` and `content`."""
    streams: bool
    includes_usage: bool
    """Whether the stream ends with the usage."""
    parameters: Mapping[str, Any]
    """All other members of the body."""

    def values_for(self, answerer: Answerer) -> dict[str, Any]:
        """Return the question and the parameters that the answerer declares. Others, as `temperature`, are ignored."""
        names = [parameter.name for parameter in answerer.contract.parameters]
        names += ["thread"] if answerer.supports_threads else []
        history = {name: self.history for name in names if name in _HISTORY_NAMES}
        values = {name: self.parameters[name] for name in names if name in self.parameters}
        return {**history, **values, answerer.contract.question.name: self.text}


def parse_chat_request(body: bytes) -> ChatRequest:
    """Parse a body. Raises BadQuestion, which names the member that is invalid or not supported."""
    hint = "Send a request of chat completions."
    members = request_values.parse_json_object(body, hint=hint)
    try:
        chat = msgspec.convert(members, ChatCompletionRequest)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`") or "body"
        raise BadQuestion(name, f"`{name}`: {message}. {hint}") from None
    for name, harmless in _UNSUPPORTED.items():
        value = members.get(name)
        if value is not None and value not in harmless:
            raise BadQuestion(name, f"`{name}` is not supported: the answer is one text. Remove it from the request.")
    messages = [_parse_message(number, message) for number, message in enumerate(chat.messages)]
    if messages[-1]["role"] != "user":
        raise BadQuestion("messages", "The last message is the question. Send one with the role user.")
    return ChatRequest(
        model=chat.model,
        text=messages[-1]["content"],
        history=messages[:-1],
        streams=bool(chat.stream),
        includes_usage=chat.stream_options is not None and chat.stream_options.include_usage,
        parameters={name: value for name, value in members.items() if name not in _OWN_PARAMETERS},
    )


def _parse_message(number: int, message: ChatMessage) -> dict[str, str]:
    name = f"messages[{number}]"
    if message.role not in _ROLES:
        roles = ", ".join(_ROLES)
        raise BadQuestion(f"{name}.role", f"Role {message.role[:40]!r} is not supported. Use one of {roles}.")
    content = message.content or ""
    if not isinstance(content, str):
        unsupported = next((part.type for part in content if part.type != "text"), None)
        if unsupported is not None:
            raise BadQuestion(f"{name}.content", f"Content {unsupported[:40]!r} is not supported. Send text.")
        content = "".join(part.text for part in content)
    return {"role": _ROLES[message.role], "content": content}
