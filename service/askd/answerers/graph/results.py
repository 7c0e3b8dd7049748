"""The result of a graph's run: an answer, an interrupt, or an error."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from askd.answerers import graph_state
from askd.answerers.user_code.exceptions import raise_as_problem
from askd.errors import AnswererFailed, BadQuestion, Interrupted, NoAnswer, RecursionLimit
from askd.models import Answer, Question

_STRUCTURED_RESPONSE_KEY: Final = "structured_response"
"""State key of the structured output of LangChain's agents."""
_TEXT_KEYS: Final = ("answer", "response", "output", "text", "content")
"""Keys of the text in an answer that is a mapping, in the order in which they are tried."""
_BAD_REPLY_ERRORS: Final = (TypeError, ValueError, LookupError, AttributeError, AssertionError)
"""Exceptions of code that gets a value of the wrong shape; pydantic's ValidationError is a ValueError."""


def answer_from_state(final_state: Any, question: Question, key: str, *, field_keys: Sequence[str] = ()) -> Answer:
    """Return the answer in the final state.

    A mapping, or an object with fields, becomes the fields of the answer; its text is the value under `answer`,
    `response`, `output`, `text` or `content`, else its JSON.

    Args:
        final_state: The output of the graph; another value than a mapping counts as the value under `key`.
        question: The question.
        key: The key of the answer.
        field_keys: Other keys, whose values become fields of the answer.

    Raises:
        NoAnswer: The graph produced no message, or None.
        AnswererFailed: The state does not contain the key; only the log has the cause.
    """
    state = final_state if isinstance(final_state, Mapping) else {key: final_state}
    fields = {name: to_json_value(state[name]) for name in field_keys if state.get(name) is not None and name != key}
    if state.get(_STRUCTURED_RESPONSE_KEY) is not None:
        fields[_STRUCTURED_RESPONSE_KEY] = to_json_value(state[_STRUCTURED_RESPONSE_KEY])
    try:
        text = graph_state.get_answer_text(state, question, key)
    except KeyError as error:
        raise AnswererFailed from LookupError(error.args[0])
    if text is not None:
        return Answer(str(text), _without_answer(fields))
    value = state[key]
    if value is None or _is_messages(value):
        if _STRUCTURED_RESPONSE_KEY in fields:
            return _answer_from_value(fields.pop(_STRUCTURED_RESPONSE_KEY), fields)
        raise NoAnswer
    return _answer_from_value(to_json_value(value), fields)


def _answer_from_value(value: Any, fields: Mapping[str, Any]) -> Answer:
    """Return the answer for a JSON value."""
    if not isinstance(value, dict):
        return Answer(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), dict(fields))
    text_key = next((key for key in _TEXT_KEYS if isinstance(value.get(key), str)), None)
    if text_key is None:
        return Answer(json.dumps(value, ensure_ascii=False), _without_answer({**fields, **value}))
    others = {name: item for name, item in value.items() if name != text_key}
    return Answer(value[text_key], _without_answer({**fields, **others}))


def _without_answer(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "answer"}


def _is_messages(value: Any) -> bool:
    """Return whether the value is a message, messages, or an empty list."""
    items = value if isinstance(value, list | tuple) else [value]
    return all(graph_state.get_message_type(item) is not None for item in items)


def bad_reply_problem(error: Exception, values: Sequence[Any]) -> BadQuestion | None:
    """Return the problem for a reply to an interrupt that has the wrong shape, or None for other exceptions.

    Args:
        error: The exception of the graph's run with the reply.
        values: What the graph had asked for.
    """
    if not isinstance(error, _BAD_REPLY_ERRORS):
        return None
    problem = BadQuestion(
        "q",
        "The graph cannot use this reply to its question, which is in `interrupt`. "
        "Send another reply in the same thread, as text or JSON.",
    )
    json_values = [to_json_value(value) for value in values]
    problem.extensions["interrupt"] = json_values[0] if len(json_values) == 1 else json_values
    return problem


def raise_if_interrupted(state: Any, question: Question) -> None:
    """Raise Interrupted if the state contains interrupts: with their value, or a list of several values."""
    values = graph_state.get_interrupts(state)
    if values:
        raise _interrupted_error(values, question)


def raise_if_at_breakpoint(snapshot: Any) -> None:
    """Raise Interrupted if the graph stopped at a breakpoint that it was compiled with."""
    if snapshot.next:
        raise Interrupted(
            f"The graph stopped at a breakpoint before {', '.join(snapshot.next)}, which its author set. "
            f"Only its author can continue it.",
            interrupt={"before": list(snapshot.next)},
        )


@contextlib.contextmanager
def translate_graph_errors(question: Question) -> Iterator[None]:
    """Context manager around a graph's run that turns its exceptions into problems.

    LangGraph's exceptions are recognized by their names, so LangGraph is not imported.
    """
    try:
        yield
    except BaseException as error:
        names = {base.__name__ for base in type(error).__mro__}
        if "GraphRecursionError" in names:
            raise RecursionLimit from error
        if "GraphInterrupt" in names:
            interrupts = error.args[0] if error.args and isinstance(error.args[0], list | tuple) else error.args
            values = [graph_state.get_field(interrupt, "value", interrupt) for interrupt in interrupts]
            raise _interrupted_error(values, question) from None
        raise_as_problem(error)
        raise


def to_json_value(value: Any) -> Any:
    """Return the value as plain JSON values, or its `str()` if it cannot be encoded."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_encode_hook))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return str(value)


def _encode_hook(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # duck typing avoids an import of pydantic
        return value.model_dump(mode="json")
    return dict(value) if isinstance(value, Mapping) else str(value)


def _interrupted_error(values: list[Any], question: Question) -> Interrupted:
    hint = (
        "Send the reply as a question in the same thread."
        if question.thread_id is not None
        else "Ask with a `thread`: without one the graph cannot get a reply."
    )
    json_values = [to_json_value(value) for value in values]
    return Interrupted(
        f"The graph waits for input, described by `interrupt`. {hint}",
        interrupt=json_values[0] if len(json_values) == 1 else json_values,
    )
