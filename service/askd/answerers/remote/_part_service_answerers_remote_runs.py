"""Runs of a LangGraph server: what is sent to start one, and what its state says. Pure but for the log.

A run that fails is HTTP 200 all the same: the state is looked into before it is believed.
"""

from typing import Any, Final

from service.answerers import states
from service.answerers.deltas import Telling
from service.answerers.remote import faults
from service.answerers.remote.upstream import Upstream
from service.errors import Interrupted, NoAnswer, RecursionLimit, UpstreamFailed
from service.models import Answer, Question

ERROR: Final = "__error__"
"""The key under which a state says that the run failed."""
_LONGEST_SAID: Final = 500
"""Characters of a server's own words that are logged."""


def body(assistant: str, given: dict[str, Any], *, thread: bool, stream: bool) -> dict[str, Any]:
    """Return what starts a run. Servers differ in their defaults, so that all that matters is said."""
    found = {"assistant_id": assistant, **given, "on_disconnect": "cancel"}
    if stream:
        found["stream_mode"] = ["messages-tuple", "values"]
    if thread:
        return found | {"if_not_exists": "create", "multitask_strategy": "enqueue"}
    return found | {"on_completion": "delete"}


def delta(telling: Telling, data: Any) -> str:
    """Return what an event `messages` adds to the text: its data is a message, then facts about it."""
    if not isinstance(data, list) or not data:
        return ""
    about = data[1] if len(data) > 1 and isinstance(data[1], dict) else {}
    return telling.take((), data[0], about)


def is_state(event: str, data: Any) -> bool:
    """Whether an event's data is a state, or says in a state's way that the run failed or asks something."""
    return isinstance(data, dict) and (event == "values" or ERROR in data or states.INTERRUPT in data)


def check(upstream: Upstream, state: Any, question: Question) -> None:
    """Raise UpstreamFailed where the run failed or has no state, Interrupted where the graph asks something."""
    if state is None:
        upstream.note("the run has no final state")
        raise UpstreamFailed("The graph ended without an answer. The log has more under this id.")
    if isinstance(state, dict) and ERROR in state:
        failure = state[ERROR]
        kind = states.field(failure, "error")
        upstream.note("the run failed", error=kind, said=words_of(states.field(failure, "message")))
        if kind == "GraphRecursionError":
            raise RecursionLimit
        raise UpstreamFailed("The graph failed. The log has more under this id.")
    if asked := states.interrupts_of(state):
        how = (
            "Ask in the same thread: the text is taken as the reply."
            if question.thread is not None
            else "Ask with a `thread`: only then can the reply reach it."
        )
        raise Interrupted(
            f"The graph asks something before it can go on; `interrupt` is what. {how}",
            interrupt=asked[0] if len(asked) == 1 else asked,
        )


def answer_of(upstream: Upstream, state: Any, question: Question, key: str | None) -> Answer:
    """Return the answer in a final state. Raises what `check` does, and NoAnswer where the graph said nothing."""
    check(upstream, state, question)
    try:
        text = states.text_of(state, question, key)
    except KeyError as fault:
        upstream.note("no answer in the final state", error=fault.args[0])
        raise faults.senseless() from fault
    if text is not None:
        return Answer(text)
    found = state[key or states.MESSAGES]
    if found is None or isinstance(found, list):
        raise NoAnswer
    upstream.note("what is under the output key is no text", type=type(found).__name__)
    raise faults.senseless()


def words_of(said: Any) -> str:
    """Return a server's own words for the log: short, on one line."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return " ".join(text.split())[:_LONGEST_SAID]
