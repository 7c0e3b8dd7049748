"""A server with the tools that the conformance suite of MCP calls, as far as askd has their features.

Run it as a script; the arguments are those of `askd serve`.
"""

import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from askd.answerers import registry
from askd.cli.main import main
from askd.config import Settings
from askd.errors import Interrupted, Refused
from askd.models import Answer, Answerer, Contract, Question, QuestionForm


class Tool(Answerer):
    """A tool without arguments. The suite gives its name and behaviour."""

    kind = "fake"
    contract = Contract(
        summary="A tool of the conformance suite.",
        question=QuestionForm(name="request", schema={"type": "object"}, required=False),
    )

    def __init__(self, name: str) -> None:
        self.name = name

    def parse_parameters(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        return {}


class Text(Tool):
    async def answer(self, question: Question) -> Answer:
        return Answer("This is a simple text response for testing.")


class Failure(Tool):
    async def answer(self, question: Question) -> Answer:
        raise Refused(400, "This tool intentionally returns an error for testing")


class Progress(Tool):
    supports_streaming = True

    async def answer(self, question: Question) -> Answer:
        return Answer("one two three ")

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        for step in ("one ", "two ", "three "):
            yield step
        yield Answer("one two three ")


class Waiting(Tool):
    """Waits for a reply in its thread, `rounds` times."""

    supports_threads = supports_temporary_threads = True

    def __init__(self, name: str, rounds: int = 1) -> None:
        super().__init__(name)
        self._rounds = rounds
        self._asked: dict[str, int] = {}

    async def answer(self, question: Question) -> Answer:
        thread = question.thread_id or ""
        asked = self._asked.get(thread, 0)
        if asked < self._rounds:
            self._asked[thread] = asked + 1
            raise Interrupted("Waiting.", interrupt=f"Question {asked + 1}?")
        return Answer("state-ok")


PREFIX = "test_input_required_result"
TOOLS: list[Tool] = [
    Text("test_simple_text"),
    Failure("test_error_handling"),
    Progress("test_tool_with_progress"),
    Text("test_logging_tool"),
    Waiting("test_streaming_elicitation"),
    Waiting(f"{PREFIX}_elicitation"),
    Waiting(f"{PREFIX}_request_state"),
    Waiting(f"{PREFIX}_multi_round", rounds=2),
    Waiting(f"{PREFIX}_tampered_state"),
    Waiting(f"{PREFIX}_capabilities"),
]


def create_answerers(settings: Settings) -> registry.NamedAnswerers:
    return registry.NamedAnswerers({tool.name: tool for tool in TOOLS}, None)


if __name__ == "__main__":
    registry.create_answerers = create_answerers
    sys.exit(main(["serve", *sys.argv[1:]]))
