"""Code as a user writes it, served by the tests of the contract."""

from typing import Annotated, Literal

from msgspec import Meta


def answer(
    text: str, words: Annotated[int, Meta(ge=1, le=9)] = 3, tone: Literal["calm", "loud"] = "calm"
) -> dict[str, object] | None:
    """Repeat the question's first words.

    Args:
        text: What is repeated; there is no answer to an x.
        words: How many words.
        tone: How it sounds.
    """
    if "x" in text:
        return None
    said = " ".join(text.split()[:words])
    return {"answer": said.upper() if tone == "loud" else said, "words": words}


answer.deterministic = True  # type: ignore[attr-defined] # how users declare it
