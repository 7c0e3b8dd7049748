"""What a graph tells of itself before it is asked; nothing where it is not LangGraph's: only `ainvoke` is needed."""

import contextlib
import inspect
from typing import Any, Final

from service.answerers.states import MESSAGES
from service.errors import LoadError

_END: Final = "__end__"
_ROOT: Final = "__root__"
"""The one channel of a state that is no mapping."""
_IN_MEMORY: Final = frozenset({"InMemorySaver", "MemorySaver"})


def checkpointer_of(graph: Any, name: str) -> Any:
    """Return what remembers the graph's threads; None: nothing does. Raises LoadError for one that would always fail.

    True and False are what subgraphs have: whether they share that of the graph around them.
    """
    found = getattr(graph, "checkpointer", None)
    if found is None or isinstance(found, bool):
        return None
    kind = type(found)
    method = getattr(kind, "aget_tuple", None)
    inherited = getattr(method, "__qualname__", "").startswith("BaseCheckpointSaver.")
    if method is None or inherited or kind.__name__ == "SqliteSaver":
        raise LoadError(
            f"{name}: its checkpointer, {kind.__name__}, is a synchronous one, and graphs are served "
            f"asynchronously: give it the asynchronous one of the same package, such as Async{kind.__name__}"
        )
    return found


def warnings(checkpointer: Any) -> list[str]:
    """Return what is wrong with the memory of threads, a line for each."""
    if checkpointer is None:
        return []
    found = []
    kind = type(checkpointer)
    if not _IN_MEMORY.isdisjoint(base.__name__ for base in kind.__mro__):
        found.append(
            f"the checkpointer, {kind.__name__}, remembers threads in memory: they die with the process, grow until "
            f"then, and replicas do not share them; use one with a database, such as AsyncPostgresSaver"
        )
    delete = getattr(kind, "adelete_thread", None)
    if getattr(delete, "__qualname__", "BaseCheckpointSaver.").startswith("BaseCheckpointSaver."):
        found.append(
            f"the checkpointer, {kind.__name__}, cannot delete threads (it has no adelete_thread): "
            f"each question without a thread leaves one behind"
        )
    return found


def has_breakpoints(graph: Any) -> bool:
    """Whether the graph was compiled to stop before or after some of its nodes."""
    return any(getattr(graph, each, None) for each in ("interrupt_before_nodes", "interrupt_after_nodes"))


def last_nodes(graph: Any) -> frozenset[str] | None:
    """Return the nodes that lead to the end of the graph; None: it does not tell."""
    with contextlib.suppress(Exception):  # drawing runs the schemas of the user's code
        return frozenset(edge.source for edge in graph.get_graph().edges if edge.target == _END) or None
    return None


def stream_parameters(graph: Any) -> frozenset[str]:
    """Return the names of what `astream` takes; empty where there is none."""
    stream = getattr(graph, "astream", None)
    try:
        return frozenset(inspect.signature(stream).parameters) if callable(stream) else frozenset()
    except (TypeError, ValueError):
        return frozenset()


def check_keys(graph: Any, name: str, input_key: str | None, output_key: str | None) -> None:
    """Raise LoadError where the graph's state is known to have no place for the question, or none for the answer."""
    for has, key, verb, setting in (
        (_taken(graph), input_key, "takes the question", "ASKD_GRAPH_INPUT_KEY"),
        (_given(graph), output_key, "has the answer", "ASKD_GRAPH_OUTPUT_KEY"),
    ):
        if has and (key or MESSAGES) not in has:
            raise LoadError(
                f"{name}: its state has no {key or MESSAGES!r}, but {', '.join(has)}: "
                f"name the key that {verb} in {setting}"
            )


def _taken(graph: Any) -> list[str]:
    builder = getattr(graph, "builder", None)
    schemas, schema = getattr(builder, "schemas", None), getattr(builder, "input_schema", None)
    return _keys(schemas.get(schema)) if isinstance(schemas, dict) and isinstance(schema, type) else []


def _given(graph: Any) -> list[str]:
    return _keys(getattr(graph, "output_channels", None))


def _keys(channels: Any) -> list[str]:
    return [] if not isinstance(channels, list | dict) or _ROOT in channels else [str(each) for each in channels]
