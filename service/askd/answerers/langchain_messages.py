"""LangChain messages: build a graph's input, read the answer from its state, and stream the answer's tokens.

Shared by graphs in this process and on a LangGraph server. A message is a mapping (from a server) or an object (from a
compiled graph) with the same names: `type`, `content`, `id`.

Which tokens to stream: several nodes may call a model, and only the final state shows whose text is the answer. At
first the nodes that lead to the end of the graph are streamed. After each run, a node whose text was not the answer is
no longer streamed, and one whose text was the answer is. The complete answer at the end corrects a wrong guess.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from askd.models import Question

MESSAGES_KEY: Final = "messages"
"""The state key for input and output unless the settings name another one."""
INTERRUPT_KEY: Final = "__interrupt__"
"""The state key of the values that the graph asks for before it can continue."""
CHUNK_TYPE: Final = "AIMessageChunk"
"""The message type of a part of a model's message."""
MESSAGE_SEPARATOR: Final = "\n\n"
"""Streamed between the texts of two messages."""

_AI_TYPES: Final = ("ai", "assistant", CHUNK_TYPE)
_HUMAN_TYPES: Final = ("human", "user")

NodePath = tuple[str, ...]
"""The names of the subgraphs that contain a node, outermost first, and the node's name."""


def build_input(question: Question, key: str | None) -> dict[str, Any]:
    """Return the initial state of a graph: a user message, or the bare text if `key` names another state key."""
    if key in {None, MESSAGES_KEY}:
        return {MESSAGES_KEY: [{"role": "user", "content": question.text}]}
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


def _messages_after_question(messages: Sequence[Any], text: str) -> Sequence[Any]:
    """Return the messages after the question, or all of them if the graph did not keep the question's message."""
    for index in range(len(messages) - 1, -1, -1):
        if get_message_type(messages[index]) in _HUMAN_TYPES and get_message_text(messages[index]) == text:
            return messages[index + 1 :]
    return messages


def get_interrupts(state: Any) -> list[Any] | None:
    """Return the values that the graph asks for, one for each interrupt, or None if it was not interrupted."""
    interrupts = state.get(INTERRUPT_KEY) if isinstance(state, Mapping) else None
    return [get_field(interrupt, "value", interrupt) for interrupt in interrupts] if interrupts else None


def is_ai_message(message: Any) -> bool:
    """Return whether the message comes from a model, or from a node on behalf of one."""
    return get_message_type(message) in _AI_TYPES


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


class StreamedNodes:
    """Learns which nodes of a graph to stream.

    Args:
        final_nodes: Names of the nodes that lead to the end of the graph; None streams all nodes at first.
    """

    def __init__(self, final_nodes: Collection[str] | None) -> None:
        self._final_nodes = final_nodes
        self._produced_answer: dict[NodePath, bool] = {}

    def is_streamed(self, node: NodePath) -> bool:
        """Return whether to stream the tokens of this node."""
        return self._produced_answer.get(node, self._final_nodes is None or node[0] in self._final_nodes)

    def record_outcome(self, texts: Mapping[NodePath, Sequence[str]], answer: str) -> None:
        """Record which nodes produced the answer. Surrounding white space is ignored, because graphs may strip it."""
        for node, node_texts in texts.items():
            self._produced_answer[node] = any(text.strip() == answer.strip() for text in node_texts)


@dataclasses.dataclass(eq=False)
class _Message:
    node: NodePath
    parts: list[str] = dataclasses.field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)


class TokenStream:
    """Turns the message chunks of one run into deltas: one message at a time, in the order in which they began."""

    def __init__(self, streamed_nodes: StreamedNodes) -> None:
        self._streamed_nodes = streamed_nodes
        self._messages: dict[Any, _Message] = {}
        self._current: _Message | None = None
        self._sent: list[str] = []

    def add_chunk(self, namespace: Sequence[str], message: Any, metadata: Mapping[str, Any]) -> str:
        """Return the delta that a chunk adds to the text, or an empty string.

        Complete messages are ignored: the state has them.

        Args:
            namespace: The subgraphs that the chunk comes from, as LangGraph names them ("name:id").
            message: The message chunk.
            metadata: LangGraph's metadata of the chunk, which names the node.
        """
        text = get_message_text(message) if get_field(message, "type") == CHUNK_TYPE else ""
        if not text:
            return ""
        node = (*(part.partition(":")[0] for part in namespace), str(metadata.get("langgraph_node", "")))
        node_message = self._messages.setdefault(get_field(message, "id") or node, _Message(node))
        node_message.parts.append(text)
        if not self._streamed_nodes.is_streamed(node) or self._current not in {None, node_message}:
            return ""
        return self._emit(node_message, text)

    def finish_step(self) -> None:
        """End a step of the graph: the next message may be streamed."""
        self._current = None

    def finish(self, answer: str) -> str:
        """Return the rest of the answer after the deltas, or an empty string if the answer does not start with them."""
        sent = "".join(self._sent)
        texts: dict[NodePath, list[str]] = {}
        for message in self._messages.values():
            texts.setdefault(message.node, []).append(message.text)
        self._streamed_nodes.record_outcome(texts, answer)
        return answer[len(sent) :] if answer.startswith(sent) else ""

    def _emit(self, message: _Message, text: str) -> str:
        if self._current is None:
            self._current = message
            text = (MESSAGE_SEPARATOR if self._sent else "") + message.text
        self._sent.append(text)
        return text
