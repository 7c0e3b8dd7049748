"""Functions that the official clients call."""

from collections.abc import Iterator

from askd import Question

__all__ = ["count", "story", "weather"]


def weather(city: str, days: int = 1) -> dict[str, object]:
    """Return the weather of a city.

    Args:
        city: Name of the city.
        days: Number of days from today.
    """
    if city == "Atlantis":
        raise RuntimeError("a secret of the code")
    return {"city": city, "days": days}


def story(topic: str) -> Iterator[str]:
    """Tell a story about a topic, word by word."""
    yield from ("There ", "was ", topic)


def count(text: str, question: Question) -> str:
    """Return the number of messages of the conversation."""
    return str(len(question.history) + 1)
