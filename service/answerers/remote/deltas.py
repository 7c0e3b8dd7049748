"""The messages of a LangGraph server's stream as pieces of text."""

from typing import Any

from service.answerers import states


class Deltas:
    """Turns the messages of a stream into pieces of text.

    Chunks of a chat model are pieces already. A whole message comes from a node without one; one whose chunks were
    seen is the same text again.
    """

    def __init__(self) -> None:
        self.said = ""
        self._seen: set[Any] = set()

    def take(self, message: Any) -> str:
        """Return what the message adds to the text; empty where it adds nothing."""
        kind, id = states.kind_of(message), states.field(message, "id")
        if not states.is_ai(message) or (kind != states.CHUNK and id is not None and id in self._seen):
            return ""
        self._seen.add(id)
        text = states.content_of(message)
        self.said += text
        return text

    def rest(self, text: str) -> str:
        """Return what the pieces until now lack of the whole text; empty where they are no beginning of it.

        That happens where models spoke whose words are not the answer: the whole, which comes last, is right then.
        """
        return text[len(self.said) :] if text.startswith(self.said) else ""
