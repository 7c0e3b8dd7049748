"""A greeter in a few languages: `askd serve docs/examples/function/main.py`.

Then ask it:

    curl 'localhost:2024/ask?q=Ada'
    curl 'localhost:2024/ask?q=Ada&lang=fr&times=2'
    curl 'localhost:2024/ask?q=Ada&lang=es'         # 400: it says which languages there are
"""

from typing import Literal, TypedDict

GREETINGS = {"en": "Hello", "de": "Hallo", "fr": "Bonjour"}


class Greeting(TypedDict):
    """What comes back: `answer`, which every answer has, and a field of this function's own."""

    answer: str
    lang: str


def answer(name: str, lang: Literal["en", "de", "fr"] = "en", times: int = 1) -> Greeting | None:
    """Greet somebody.

    A name that is no word gets no greeting.

    Args:
        name: who is greeted
        lang: the language of the greeting
        times: how often the greeting is said
    """
    if not name.strip():
        return None
    return {"answer": ", ".join([GREETINGS[lang]] * times) + f", {name}!", "lang": lang}


answer.deterministic = True  # type: ignore[attr-defined] # functions may have attributes, mypy thinks otherwise
