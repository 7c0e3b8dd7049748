"""Answerers for tests of the OpenAPI document and the pages, which need only a contract."""

from typing import Any

from askd.api import openapi
from askd.config import Settings
from askd.models import Answer, Answerer, Contract, Parameter, ProgressCallback, Question

RECURSIVE_SCHEMA = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}


class MinimalAnswerer(Answerer):
    """An answerer with the default contract, which repeats the question."""

    kind = "book"
    name = "networking"

    async def load(self, progress: ProgressCallback) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def answer(self, question: Question) -> Answer:
        """Repeat the question."""
        return Answer(question.text)


class FullContractAnswerer(MinimalAnswerer):
    """An answerer whose contract uses every feature."""

    kind = "function"
    name = "/srv/someone/main.py:answer"
    deterministic = True
    supports_streaming = True
    contract = Contract(
        summary="Tells a story.",
        description="About `words`.\n\nAnd <i>more</i>.",
        parameters=[
            Parameter(name="words", schema={"type": "integer", "minimum": 1, "default": 20}, description="How many."),
            Parameter(name="place", schema={"$ref": "#/$defs/P", "$defs": {"P": {"enum": ["sea"]}}}, required=True),
            Parameter(name="tags", schema={"type": "array", "items": {"type": "string"}}),
            Parameter(name="rhymes", schema={"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None}),
        ],
        answer_schema={
            "type": "object",
            "properties": {"answer": {"type": "string"}, "tree": {"$ref": "#/$defs/Node"}},
            "$defs": {"Node": RECURSIVE_SCHEMA},
        },
        examples=["a fox", ""],
    )


def openapi_document(settings: Settings | None = None, answerer: Answerer | None = None) -> dict[str, Any]:
    """Return the document; the maximum length of a question is 1000 characters."""
    return openapi.build_document(settings or Settings(), answerer, max_length=1000)
