"""How a run of a graph ended: with an answer, with a question of its own, or with a fault."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from service.answerers import states
from service.answerers.refusals import Translated
from service.errors import AnswererFailed, Interrupted, NoAnswer, RecursionLimit
from service.models import Answer, Question


def answer_of(final: Any, question: Question, key: str | None) -> Answer:
    """Return the answer in the last state. Raises NoAnswer where the graph said nothing.

    AnswererFailed is raised where the state has no such key, or no text under it; the log tells what it has.
    """
    state = final if isinstance(final, Mapping) else {key or states.MESSAGES: final}
    try:
        text = states.text_of(state, question, key)
    except KeyError as fault:
        raise AnswererFailed from LookupError(fault.args[0])
    if text is None:
        _check_silence(state[key or states.MESSAGES], key or states.MESSAGES)
        raise NoAnswer
    return Answer(str(text))


def check_interrupted(final: Any, question: Question) -> None:
    """Raise Interrupted with what the graph asks for, where it asks: one value, or a list of several."""
    asked = states.interrupts_of(final)
    if asked:
        raise _interrupted(asked, question)


def check_stopped(snapshot: Any) -> None:
    """Raise Interrupted where the graph stopped at a breakpoint that it was compiled with, and asks nothing."""
    if snapshot.next:
        raise Interrupted(
            f"The graph stopped before {', '.join(snapshot.next)}, where it was compiled to stop. "
            f"Its author goes on from there.",
            interrupt={"before": list(snapshot.next)},
        )


@contextlib.contextmanager
def translated(question: Question) -> Iterator[None]:
    """Context in which the graph runs: what it raises leaves as something that the web layer understands.

    LangGraph's own exceptions are known by their names.
    """
    with Translated():
        try:
            yield
        except Exception as fault:
            names = {base.__name__ for base in type(fault).__mro__}
            if "GraphRecursionError" in names:
                raise RecursionLimit from fault
            if "GraphInterrupt" in names:
                asked = fault.args[0] if fault.args and isinstance(fault.args[0], list | tuple) else fault.args
                raise _interrupted([states.field(each, "value", each) for each in asked], question) from None
            raise


def plain(value: Any) -> Any:
    """Return the value as JSON has it; what has no form in JSON becomes its text."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_encoded))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return str(value)


def _encoded(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # pydantic, which is not imported for this
        return value.model_dump(mode="json")
    return dict(value) if isinstance(value, Mapping) else str(value)


def _interrupted(asked: list[Any], question: Question) -> Interrupted:
    mend = (
        "Ask in the same thread: the text is taken as the reply."
        if question.thread is not None
        else "Ask with a `thread`: only then can the reply reach it."
    )
    values = [plain(each) for each in asked]
    return Interrupted(
        f"The graph asks something before it can go on; `interrupt` is what. {mend}",
        interrupt=values[0] if len(values) == 1 else values,
    )


def _check_silence(value: Any, key: str) -> None:
    """Nothing, or messages without a word of the model's, is silence; anything else is no answer."""
    if value is None or isinstance(value, list | tuple) or states.field(value, "content") is not None:
        return
    said = f"the graph's state has {type(value).__name__} under {key!r}: put a str, a message or messages there"
    raise AnswererFailed from TypeError(said)
