"""The input of a graph, and the answer in its state."""

from types import SimpleNamespace
from typing import Any

import pytest

from askd.answerers import graph_state
from askd.models import Question

HI = Question(text="hi")


@pytest.mark.parametrize(
    ("key", "state"),
    [
        (None, {"messages": [{"role": "user", "content": "hi"}]}),
        ("messages", {"messages": [{"role": "user", "content": "hi"}]}),
        ("topic", {"topic": "hi"}),
    ],
)
def test_input(key: str | None, state: dict[str, Any]) -> None:
    """The input is a user message, or the bare text under the configured key."""
    assert graph_state.build_input(HI, key) == state


def test_history_precedes_the_question() -> None:
    """A graph with messages gets the conversation; one with another key gets the question."""
    history = [{"role": "system", "content": "Be brief."}]
    question = Question(text="hi", history=history)
    messages = [*history, {"role": "user", "content": "hi"}]
    assert graph_state.build_input(question, None) == {"messages": messages}
    assert graph_state.build_input(question, "topic") == {"topic": "hi"}


@pytest.mark.parametrize(
    ("state", "key", "text"),
    [
        ({"messages": [{"type": "ai", "content": "Hi"}]}, None, "Hi"),
        ({"messages": [SimpleNamespace(type="ai", content=[{"type": "text", "text": "Hi"}])]}, None, "Hi"),
        ({"messages": SimpleNamespace(type="ai", content="Hi")}, None, "Hi"),
        ({"messages": ({"role": "assistant", "content": "Hi"},)}, None, "Hi"),
        ({"reply": "Hi", "messages": []}, "reply", "Hi"),
        ({"reply": ""}, "reply", ""),
        ({"reply": None}, "reply", None),
        ({"reply": 1}, "reply", None),
        ({"messages": [{"type": "human", "content": "hi"}]}, None, None),
        ({"messages": [{"type": "ai", "content": None}, 1, "x", {}]}, None, None),
    ],
)
def test_answer_text(state: Any, key: str | None, text: str | None) -> None:
    """The answer is the text of the last AI message (a mapping or an object), or the string under the key."""
    assert graph_state.get_answer_text(state, HI, key) == text


@pytest.mark.parametrize(
    ("state", "keys"),
    [({"a": 1, "b": 2}, "a, b"), ({}, "it is empty"), ([], "list"), ("text", "str"), (None, "NoneType")],
)
def test_missing_key(state: Any, keys: str) -> None:
    """A state without the key is an error that lists its keys and names the setting."""
    with pytest.raises(KeyError, match=rf"does not contain 'messages' \({keys}\): set ASKD_GRAPH_OUTPUT_KEY to"):
        graph_state.get_answer_text(state, HI, None)


@pytest.mark.parametrize(
    ("state", "values"),
    [
        ({"__interrupt__": [{"value": "sure?", "id": "1"}]}, ["sure?"]),
        ({"__interrupt__": (SimpleNamespace(value=None),)}, [None]),
        ({"__interrupt__": []}, None),
        ({"messages": []}, None),
        (None, None),
    ],
)
def test_interrupts(state: Any, values: list[Any] | None) -> None:
    """Interrupts may be mappings or objects."""
    assert graph_state.get_interrupts(state) == values
