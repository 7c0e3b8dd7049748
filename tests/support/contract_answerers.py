"""Answerers that only tell their contract, for the tests of the contract and the pages."""

from typing import Any

from service.models import Answer, Answerer, Contract, Parameter, Progress, Question
from service.settings import Settings
from service.web import openapi

NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}


class Book(Answerer):
    """An answerer that never refuses by itself."""

    kind = "book"
    name = "networking"

    async def load(self, progress: Progress) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing was acquired."""

    async def answer(self, question: Question) -> Answer:
        """Say what was said."""
        return Answer(question.text)


class Storyteller(Book):
    """An answerer whose contract has everything that one may have."""

    kind = "function"
    name = "/srv/someone/main.py:answer"
    deterministic = True
    streams = True
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
            "$defs": {"Node": NODE},
        },
        examples=["a fox", ""],
    )


def contract(settings: Settings | None = None, answerer: Answerer | None = None) -> dict[str, Any]:
    """Return the document for a question of at most 1000 characters."""
    return openapi.document(settings or Settings(), answerer, max_length=1000)
