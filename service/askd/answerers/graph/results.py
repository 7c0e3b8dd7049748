"""The result of a graph's run: an answer, an interrupt, or an error."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from askd.answerers import graph_state
from askd.answerers.user_code.exceptions import raise_as_problem
from askd.errors import AnswererFailed, BadQuestion, Interrupted, NoAnswer, RecursionLimit
from askd.models import Answer, Question

_STRUCTURED_RESPONSE_KEY: Final = "structured_response"
"""State key of the structured output of LangChain's agents."""
_BAD_REPLY_ERRORS: Final = (TypeError, ValueError, LookupError, AttributeError, AssertionError)
"""Exceptions of code that gets a value of the wrong shape; pydantic's ValidationError is a ValueError."""


def answer_from_state(final_state: Any, question: Question, key: str, *, field_keys: Sequence[str] = ()) -> Answer:
    """Return the answer in the final state.

    A value that is not text is a structured answer (see `graph_state.answer_from_value`).

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
        return Answer(str(text), graph_state.without_answer(fields))
    value = state[key]
    if value is None or graph_state.are_messages(value):
        if _STRUCTURED_RESPONSE_KEY in fields:
            return graph_state.answer_from_value(fields.pop(_STRUCTURED_RESPONSE_KEY), fields)
        raise NoAnswer
    return graph_state.answer_from_value(to_json_value(value), fields)


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


def raise_if_at_breakpoint(snapshot: Any) -> None:
    """Raise Interrupted if the graph stopped at a breakpoint that it was compiled with."""
    if snapshot.next:
        raise Interrupted(
            f"The graph stopped at a breakpoint before {', '.join(snapshot.next)}, which its author set. "
            f"Only its author can continue it.",
            interrupt={"before": list(snapshot.next)},
        )


def raise_graph_problem(error: BaseException, question: Question) -> None:
    """Raise the problem that an exception of a graph's run becomes. Returns if it becomes none.

    LangGraph's exceptions are recognized by their names, so LangGraph is not imported.
    """
    names = {base.__name__ for base in type(error).__mro__}
    if "GraphRecursionError" in names:
        raise RecursionLimit from error
    if "GraphInterrupt" in names:
        interrupts = error.args[0] if error.args and isinstance(error.args[0], list | tuple) else error.args
        values = [graph_state.get_field(interrupt, "value", interrupt) for interrupt in interrupts]
        raise interrupted_error(values, question) from None
    raise_as_problem(error)


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


def interrupted_error(values: Sequence[Any], question: Question) -> Interrupted:
    """Return the error for the interrupts of a run; it contains their value, or a list of several values."""
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
