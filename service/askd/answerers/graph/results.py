"""The result of a graph's run: an answer, an interrupt, or an error."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from askd.answerers import langchain_messages
from askd.answerers.user_code.exceptions import ExceptionTranslator
from askd.errors import AnswererFailed, Interrupted, NoAnswer, RecursionLimit
from askd.models import Answer, Question


def answer_from_state(final_state: Any, question: Question, key: str | None) -> Answer:
    """Return the answer in the final state.

    Raises:
        NoAnswer: The graph produced no message.
        AnswererFailed: The state does not contain the key, or its value is not text; only the log has the cause.
    """
    key = key or langchain_messages.MESSAGES_KEY
    state = final_state if isinstance(final_state, Mapping) else {key: final_state}
    try:
        text = langchain_messages.get_answer_text(state, question, key)
    except KeyError as error:
        raise AnswererFailed from LookupError(error.args[0])
    if text is None:
        _check_has_no_output(state[key], key)
        raise NoAnswer
    return Answer(str(text))


def raise_if_interrupted(state: Any, question: Question) -> None:
    """Raise Interrupted if the state contains interrupts: with their value, or a list of several values."""
    values = langchain_messages.get_interrupts(state)
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
    with ExceptionTranslator():
        try:
            yield
        except Exception as error:
            names = {base.__name__ for base in type(error).__mro__}
            if "GraphRecursionError" in names:
                raise RecursionLimit from error
            if "GraphInterrupt" in names:
                interrupts = error.args[0] if error.args and isinstance(error.args[0], list | tuple) else error.args
                values = [langchain_messages.get_field(interrupt, "value", interrupt) for interrupt in interrupts]
                raise _interrupted_error(values, question) from None
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


def _check_has_no_output(value: Any, key: str) -> None:
    """Accept an empty value and messages without text; raise AnswererFailed for a value of another type."""
    if value is None or isinstance(value, list | tuple) or langchain_messages.get_field(value, "content") is not None:
        return
    message = f"the graph's state has {type(value).__name__} under {key!r}: put a str, a message or messages there"
    raise AnswererFailed from TypeError(message)
