"""Token streams: which model messages of a graph's run to stream, and their deltas.

Several nodes may call a model, and only the final state shows whose text is the answer. At first the nodes that lead to
the end of the graph are streamed, except text that looks like JSON: it is most likely the structured output of a model
that routes or plans. After each run, a node whose text was not the answer is no longer streamed, and one whose text was
the answer is. The complete answer at the end corrects a wrong guess.
"""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from askd.answerers.graph_state import CHUNK_TYPE, get_field, get_message_text

MESSAGE_SEPARATOR: Final = "\n\n"
"""Streamed between the texts of two messages."""
_STRUCTURED_TEXT: Final = re.compile(r'\s*(\{|\[\s*([\[{"]|$)|$)')
"""The beginning of a JSON object or list, or of a text that may still become one."""

NodePath = tuple[str, ...]
"""The names of the subgraphs that contain a node, outermost first, and the node's name."""


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

    def has_outcome(self, node: NodePath) -> bool:
        """Return whether an earlier run has shown if the node produces the answer."""
        return node in self._produced_answer

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
        if not self._streamed_nodes.has_outcome(node) and _STRUCTURED_TEXT.match(node_message.text):
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
