"""A graph's state: how a question goes in, and how the answer's text comes out. Pure; for graphs here and elsewhere.

A message is a mapping, as a LangGraph server sends it, or an object with the same names as attributes, as a compiled
graph has it: `type`, `content`, `id`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.models import Question

MESSAGES: Final = "messages"
"""The key that a state has unless the settings name another."""
INTERRUPT: Final = "__interrupt__"
"""The key under which a state says what the graph asks for before it goes on."""
CHUNK: Final = "AIMessageChunk"
"""The type of a message that is a piece of one, as a model says it."""
_AI: Final = ("ai", "assistant", CHUNK)
_HUMAN: Final = ("human", "user")


def input_of(question: Question, key: str | None) -> dict[str, Any]:
    """Return the state that a graph is started with. `key` None: a user's message; else that key has the bare text."""
    if key in {None, MESSAGES}:
        return {MESSAGES: [{"role": "user", "content": question.text}]}
    return {str(key): question.text}


def text_of(state: Any, question: Question, key: str | None) -> str | None:
    """Return the answer in a final state: the last AI message under `key` that has text, or the text that is there.

    None: the graph said nothing. Messages before the question do not count: they are the conversation until then.
    What is neither text nor messages counts as nothing said. Raises KeyError, which says what the state has instead.
    """
    name = key or MESSAGES
    if not isinstance(state, Mapping) or name not in state:
        found = ", ".join(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise KeyError(f"the state has no {name!r}, but {found or 'nothing'}: name one in ASKD_GRAPH_OUTPUT_KEY")
    value = state[name]
    if isinstance(value, str) or value is None:
        return value
    messages = value if isinstance(value, list | tuple) else [value]
    replies = (content_of(each) for each in reversed(_since(messages, question.text)) if is_ai(each))
    return next((text for text in replies if text), None)


def _since(messages: Sequence[Any], text: str) -> Sequence[Any]:
    """What follows the question's own message, or everything where the graph does not keep that."""
    for place in range(len(messages) - 1, -1, -1):
        if kind_of(messages[place]) in _HUMAN and content_of(messages[place]) == text:
            return messages[place + 1 :]
    return messages


def interrupts_of(state: Any) -> list[Any] | None:
    """Return what the graph asks for, one value for each interrupt; None where it asks nothing."""
    found = state.get(INTERRUPT) if isinstance(state, Mapping) else None
    return [field(each, "value", each) for each in found] if found else None


def is_ai(message: Any) -> bool:
    """Whether a model, or a node in its place, said it."""
    return kind_of(message) in _AI


def kind_of(message: Any) -> Any:
    """Return what sort of message it is, as LangChain has it (`type`), or as the APIs of models do (`role`)."""
    return field(message, "type") or field(message, "role")


def content_of(message: Any) -> str:
    """Return a message's text: its content, or the blocks of type text in it, joined; what is no text is left out."""
    content = field(message, "content")
    if isinstance(content, str):
        return content
    return "".join(_block(each) for each in content) if isinstance(content, list | tuple) else ""


def _block(block: Any) -> str:
    if isinstance(block, str):
        return block
    text = field(block, "text") if field(block, "type") == "text" else None
    return text if isinstance(text, str) else ""


def field(thing: Any, name: str, default: Any = None) -> Any:
    """Return an item of a mapping or an attribute of an object."""
    return thing.get(name, default) if isinstance(thing, Mapping) else getattr(thing, name, default)
