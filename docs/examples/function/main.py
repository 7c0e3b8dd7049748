"""A greeter in a few languages: `askd serve docs/examples/function/main.py`.

Then ask it:

    curl 'localhost:2024/ask?q=Ada'
    curl 'localhost:2024/ask?q=Ada&lang=fr&times=2'
    curl 'localhost:2024/ask?q=Ada&lang=es'         # 400: the error lists the languages
"""

from typing import Literal, TypedDict

GREETINGS = {"en": "Hello", "de": "Hallo", "fr": "Bonjour"}


class Greeting(TypedDict):
    """The response: `answer`, which is required, and an extra field."""

    answer: str
    lang: str


def answer(name: str, lang: Literal["en", "de", "fr"] = "en", times: int = 1) -> Greeting | None:
    """Greet somebody.

    A blank name gets no greeting.

    Args:
        name: the name to greet
        lang: the language of the greeting
        times: how often to repeat the greeting
    """
    if not name.strip():
        return None
    return {"answer": ", ".join([GREETINGS[lang]] * times) + f", {name}!", "lang": lang}


answer.deterministic = True  # type: ignore[attr-defined] # mypy does not know attributes of functions
