"""Which of the words that models say in a graph, here or on a server, are told the client as they come.

Several nodes may ask a model, and only when the graph has ended is it known whose text is the answer. So a guess is
made: the nodes that lead to the end of the graph speak. It is corrected by what is seen: a node whose text was not the
answer is silent from then on, one whose text was the answer speaks. What the last guess got wrong the whole answer
puts right, which comes last and alone counts.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from service.answerers import states

Path = tuple[str, ...]
"""A node: the names of the nodes whose subgraphs it lies in, outermost first, then its own."""

BETWEEN: Final = "\n\n"
"""Stands between the texts of two messages."""


class Voices:
    """The nodes that speak. `last` are those that lead to the end; None: not known, all of them speak at first."""

    def __init__(self, last: Collection[str] | None) -> None:
        self._last = last
        self._seen: dict[Path, bool] = {}

    def speaks(self, node: Path) -> bool:
        """Whether the words of this node are told as they come."""
        return self._seen.get(node, self._last is None or node[0] in self._last)

    def learn(self, said: Mapping[Path, Sequence[str]], answer: str) -> None:
        """Take notice of whose text the answer was; white space around it may be the graph's own doing."""
        for node, texts in said.items():
            self._seen[node] = any(text.strip() == answer.strip() for text in texts)


@dataclasses.dataclass(eq=False)
class _Message:
    node: Path
    parts: list[str] = dataclasses.field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)


class Telling:
    """What is told of one answer while it is made: one message at a time, in the order in which they began."""

    def __init__(self, voices: Voices) -> None:
        self._voices = voices
        self._messages: dict[Any, _Message] = {}
        self._speaking: _Message | None = None
        self._told: list[str] = []

    def take(self, place: Sequence[str], message: Any, about: Mapping[str, Any]) -> str:
        """Return the delta that a chunk of a model's message adds to the text, '' for none.

        `place` names the subgraph, `about` the node in it. Whole messages are no chunks: they are in the state.
        """
        text = states.content_of(message) if states.field(message, "type") == "AIMessageChunk" else ""
        if not text:
            return ""
        node = (*(each.partition(":")[0] for each in place), str(about.get("langgraph_node", "")))
        said = self._messages.setdefault(states.field(message, "id") or node, _Message(node))
        said.parts.append(text)
        if not self._voices.speaks(node) or self._speaking not in {None, said}:
            return ""
        return self._tell(said, text)

    def step(self) -> None:
        """Notice that a step of the graph is over: the next message may speak."""
        self._speaking = None

    def end(self, answer: str) -> str:
        """Return what the deltas lack of the answer; '' where they are no beginning of it."""
        told = "".join(self._told)
        said: dict[Path, list[str]] = {}
        for message in self._messages.values():
            said.setdefault(message.node, []).append(message.text)
        self._voices.learn(said, answer)
        return answer[len(told) :] if answer.startswith(told) else ""

    def _tell(self, said: _Message, text: str) -> str:
        if self._speaking is None:
            self._speaking = said
            text = (BETWEEN if self._told else "") + said.text
        self._told.append(text)
        return text
