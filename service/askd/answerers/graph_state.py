"""LangChain messages: build a graph's input, and read the answer from its state.

Shared by graphs in this process and on a LangGraph server. A message is a mapping (from a server) or an object (from a
compiled graph) with the same names: `type`, `content`, `id`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from askd.models import Answer, Question

MESSAGES_KEY: Final = "messages"
"""The state key for input and output unless the settings name another one."""
INTERRUPT_KEY: Final = "__interrupt__"
"""The state key of the values that the graph asks for before it can continue."""
CHUNK_TYPE: Final = "AIMessageChunk"
"""The message type of a part of a model's message."""

_TEXT_KEYS: Final = ("answer", "response", "output", "text", "content")
"""Keys of the text in an answer that is a mapping, in the order in which they are tried."""
_AI_TYPES: Final = ("ai", "assistant", CHUNK_TYPE)
_HUMAN_TYPES: Final = ("human", "user")


def build_input(question: Question, key: str | None) -> dict[str, Any]:
    """Return the initial state of a graph: history and question as messages, or the text if `key` is another key."""
    if key in {None, MESSAGES_KEY}:
        return {MESSAGES_KEY: [*question.history, {"role": "user", "content": question.text}]}
    return {str(key): question.text}


def get_answer_text(state: Any, question: Question, key: str | None) -> str | None:
    """Return the answer in a final state: the string under `key`, or the text of the last AI message there.

    Messages before the question are ignored, because they belong to the earlier conversation. Returns None if
    no message has text, or if the value is neither text nor messages.

    Raises:
        KeyError: The state does not contain the key; the message lists its keys.
    """
    key = key or MESSAGES_KEY
    if not isinstance(state, Mapping) or key not in state:
        keys = ", ".join(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise KeyError(
            f"the state does not contain {key!r} ({keys or 'it is empty'}): "
            f"set ASKD_GRAPH_OUTPUT_KEY to the key of the answer"
        )
    value = state[key]
    if isinstance(value, str) or value is None:
        return value
    messages = value if isinstance(value, list | tuple) else [value]
    replies = (
        get_message_text(message)
        for message in reversed(_messages_after_question(messages, question.text))
        if is_ai_message(message)
    )
    return next((text for text in replies if text), None)


def answer_from_value(value: Any, fields: Mapping[str, Any]) -> Answer:
    """Return the answer for a JSON value, with other fields.

    The items of a mapping become fields of the answer, and its text is the value under `answer`, `response`, `output`,
    `text` or `content`. A mapping without these, and other values than text, are JSON answers.
    """
    if isinstance(value, str):
        return Answer(value, without_answer(fields))
    if not isinstance(value, Mapping):
        return Answer(json.dumps(value, ensure_ascii=False), without_answer(fields), value)
    text_key = next((key for key in _TEXT_KEYS if isinstance(value.get(key), str)), None)
    if text_key is None:
        return Answer(json.dumps(value, ensure_ascii=False), without_answer({**fields, **value}), value)
    others = {name: item for name, item in value.items() if name != text_key}
    return Answer(value[text_key], without_answer({**fields, **others}))


def without_answer(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without `answer`, which is the name of the answer itself."""
    return {name: value for name, value in fields.items() if name != "answer"}


def _messages_after_question(messages: Sequence[Any], text: str) -> Sequence[Any]:
    """Return the messages after the question, or all of them if the graph did not keep the question's message."""
    for index in range(len(messages) - 1, -1, -1):
        if get_message_type(messages[index]) in _HUMAN_TYPES and get_message_text(messages[index]) == text:
            return messages[index + 1 :]
    return messages


def parse_reply(text: str) -> Any:
    """Return the reply to an interrupt: the JSON object or list in the text, or the text itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict | list) else text


def get_interrupts(state: Any) -> list[Any] | None:
    """Return the values that the graph asks for, one for each interrupt, or None if it was not interrupted."""
    interrupts = state.get(INTERRUPT_KEY) if isinstance(state, Mapping) else None
    return [get_field(interrupt, "value", interrupt) for interrupt in interrupts] if interrupts else None


def is_ai_message(message: Any) -> bool:
    """Return whether the message comes from a model, or from a node on behalf of one."""
    return get_message_type(message) in _AI_TYPES


def are_messages(value: Any) -> bool:
    """Return whether the value is a message, messages, or an empty list."""
    items = value if isinstance(value, list | tuple) else [value]
    return all(get_message_type(item) is not None for item in items)


def get_message_type(message: Any) -> Any:
    """Return the message's `type` (LangChain) or `role` (model APIs)."""
    return get_field(message, "type") or get_field(message, "role")


def get_message_text(message: Any) -> str:
    """Return the message's content if it is a string, or its text blocks joined; other blocks are ignored."""
    content = get_field(message, "content")
    if isinstance(content, str):
        return content
    return "".join(_block_text(block) for block in content) if isinstance(content, list | tuple) else ""


def _block_text(block: Any) -> str:
    if isinstance(block, str):
        return block
    text = get_field(block, "text") if get_field(block, "type") == "text" else None
    return text if isinstance(text, str) else ""


def get_field(value: Any, name: str, default: Any = None) -> Any:
    """Return an item of a mapping, or an attribute of an object."""
    return value.get(name, default) if isinstance(value, Mapping) else getattr(value, name, default)
