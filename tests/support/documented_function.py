"""A documented user function, served by the OpenAPI conformance tests."""

from typing import Annotated, Literal

from msgspec import Meta


def answer(
    text: str, words: Annotated[int, Meta(ge=1, le=9)] = 3, tone: Literal["calm", "loud"] = "calm"
) -> dict[str, object] | None:
    """Repeat the first words of the question.

    Args:
        text: The question. A question with an x has no answer.
        words: Number of words.
        tone: A loud answer is in upper case.
    """
    if "x" in text:
        return None
    repeated = " ".join(text.split()[:words])
    return {"answer": repeated.upper() if tone == "loud" else repeated, "words": words}


answer.deterministic = True  # type: ignore[attr-defined] # how users declare it
