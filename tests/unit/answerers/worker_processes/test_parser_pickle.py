"""Parsers of parameters that the server can use without the code."""

import pickle

import pytest

from askd.answerers.worker_processes.parser_pickle import dump_parser
from askd.errors import BadQuestion
from tests.support.user_function_fixtures import LoadFunction


async def test_parsers_of_plain_types_work_in_the_server(load: LoadFunction) -> None:
    """A parser of built-in and library types converts and refuses values as the original one does."""
    function = await load(
        """
        from datetime import date
        from typing import Annotated, Literal
        import msgspec

        def answer(q: str, n: int = 1, day: date | None = None, form: Literal["a", "b"] = "a",
                   share: Annotated[float, msgspec.Meta(le=1)] = 0.5, tags: list[str] = []) -> str: ...
        """
    )
    parser = pickle.loads(dump_parser(function.parameter_parser))
    query = {"n": ["2"], "day": ["2026-01-31"], "tags": ["x", "y"]}
    assert parser.parse(query, from_strings=True) == function.parse_parameters(query, from_strings=True)
    with pytest.raises(BadQuestion, match="did you mean `form`"):
        parser.parse({"forn": ["a"]}, from_strings=True)


@pytest.mark.parametrize(
    "parameter",
    ["tone: Tone = Tone.DRY", "place: Place = None", "tones: list[Tone] = []", "user: User = 'x'"],
)
async def test_parsers_of_the_codes_own_types_stay_in_the_worker(load: LoadFunction, parameter: str) -> None:
    """A parser that would import the code is not sent to the server."""
    function = await load(
        f"""
        import dataclasses, enum
        from typing import Literal, NewType

        User = NewType("User", str)

        class Tone(enum.Enum):
            DRY = "dry"

        @dataclasses.dataclass
        class Place:
            x: int

        def answer(q: str, {parameter}) -> str: ...
        """
    )
    assert dump_parser(function.parameter_parser) == b""


def test_no_parser() -> None:
    """Graphs have no parser."""
    assert dump_parser(None) == b""
