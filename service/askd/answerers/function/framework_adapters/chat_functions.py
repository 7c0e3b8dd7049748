"""Chat functions as Gradio's ChatInterface calls them: `(message, history)`, which may yield the text so far."""

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from askd.answerers.function.framework_adapters.adapted_function import (
    AdaptedFunction,
    function_parameters,
    make_adapted_function,
)
from askd.answerers.function.results import ANSWER_KEYS
from askd.answerers.graph_state import get_field
from askd.models import Answer

_HISTORY_NAMES: Final = frozenset({"history", "chat_history"})


def adapt_to_function(value: object) -> AdaptedFunction | None:
    """Return the adapter for a function whose second parameter is the history of the chat."""
    parameters = function_parameters(value)
    if len(parameters) < 2 or parameters[1].name not in _HISTORY_NAMES:
        return None
    function: Any = value
    message, history, *others = parameters
    annotation = list if history.annotation is history.empty else history.annotation
    history = history.replace(annotation=annotation, default=[], kind=history.KEYWORD_ONLY)
    others = [
        other.replace(kind=other.KEYWORD_ONLY) if other.kind is other.POSITIONAL_OR_KEYWORD else other
        for other in others
    ]

    def call(text: str, /, **keywords: Any) -> Any:
        messages = keywords.pop(history.name, None) or []
        return _convert_result(function(text, messages, **keywords))

    is_stream = inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value)
    note = (
        f"a chat function: `{history.name}` is a list of messages from the request, empty without it"
        f"{'; each yielded value is the whole text so far' if is_stream else ''}"
    )
    returned = Iterator if is_stream else inspect.Signature.empty
    return make_adapted_function(call, [message, history, *others], value, note, return_annotation=returned)


def _convert_result(result: Any) -> Any:
    if isinstance(result, Iterator):
        return _iterate_deltas(result)
    if isinstance(result, AsyncIterator):
        return _stream_deltas(result)
    return _await_reply(result) if inspect.isawaitable(result) else _reply(result)


async def _await_reply(result: Any) -> Any:
    return _reply(await result)


def _iterate_deltas(items: Iterator[Any]) -> Iterator[Any]:
    text = ""
    for item in items:
        text, delta = _next_delta(item, text)
        yield delta


async def _stream_deltas(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    text = ""
    async for item in items:
        text, delta = _next_delta(item, text)
        yield delta


def _next_delta(item: Any, text: str) -> tuple[str, Any]:
    """Return the complete text, and what an item adds to the text before it. An Answer replaces that text."""
    reply = _reply(item)
    texts = (get_field(reply, key) for key in ANSWER_KEYS)
    reply = next((content for content in texts if isinstance(content, str)), reply)
    if not isinstance(reply, str):
        return text, reply
    return reply, reply[len(text) :] if reply.startswith(text) else Answer(reply)


def _reply(result: Any) -> Any:
    """Return the last reply if the result is a history, alone or after the new value of a text box."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], list):
        result = result[1]
    last = result[-1] if isinstance(result, list) and result else None
    if isinstance(last, list | tuple) and len(last) == 2:  # the pair of a question and its reply
        return last[1]
    return last if get_field(last, "content") is not None else result
