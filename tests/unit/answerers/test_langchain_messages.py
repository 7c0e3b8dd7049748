"""What goes into a graph's state, and what comes out of one."""

from types import SimpleNamespace
from typing import Any

import pytest

from service.answerers import states
from service.models import Question

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
    """A user's message, or the bare text under the key that is named."""
    assert states.input_of(HI, key) == state


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
def test_text(state: Any, key: str | None, text: str | None) -> None:
    """The text of the last AI message, as mappings or objects have it, or the text under the key."""
    assert states.text_of(state, HI, key) == text


@pytest.mark.parametrize(
    ("state", "has"), [({"a": 1, "b": 2}, "a, b"), ({}, "nothing"), ([], "list"), ("text", "str"), (None, "NoneType")]
)
def test_no_such_key(state: Any, has: str) -> None:
    """A state without the key is refused with what it has instead, and the setting that names another."""
    with pytest.raises(KeyError, match=rf"no 'messages', but {has}: name one in ASKD_GRAPH_OUTPUT_KEY"):
        states.text_of(state, HI, None)


@pytest.mark.parametrize(
    ("state", "asked"),
    [
        ({"__interrupt__": [{"value": "sure?", "id": "1"}]}, ["sure?"]),
        ({"__interrupt__": (SimpleNamespace(value=None),)}, [None]),
        ({"__interrupt__": []}, None),
        ({"messages": []}, None),
        (None, None),
    ],
)
def test_interrupts(state: Any, asked: list[Any] | None) -> None:
    """What a graph asks for is read from mappings and objects alike."""
    assert states.interrupts_of(state) == asked
