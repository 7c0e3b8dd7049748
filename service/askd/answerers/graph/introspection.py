"""Inspect a graph before it is used. Only `ainvoke` is required, so everything here may be missing."""

import contextlib
import inspect
from typing import Any, Final

from askd.answerers.langchain_messages import MESSAGES_KEY
from askd.errors import LoadError

_END_NODE: Final = "__end__"
_ROOT_CHANNEL: Final = "__root__"
"""The only channel of a state that is not a mapping."""
_IN_MEMORY_SAVERS: Final = frozenset({"InMemorySaver", "MemorySaver"})


def get_checkpointer(graph: Any, name: str) -> Any:
    """Return the graph's checkpointer, or None.

    True and False, which subgraphs use to share the checkpointer of the outer graph or not, count as None.

    Raises:
        LoadError: The checkpointer is synchronous, so every question would fail.
    """
    checkpointer = getattr(graph, "checkpointer", None)
    if checkpointer is None or isinstance(checkpointer, bool):
        return None
    cls = type(checkpointer)
    method = getattr(cls, "aget_tuple", None)
    is_inherited = getattr(method, "__qualname__", "").startswith("BaseCheckpointSaver.")
    if method is None or is_inherited or cls.__name__ == "SqliteSaver":
        raise LoadError(
            f"{name}: its checkpointer {cls.__name__} is synchronous, but graphs run asynchronously: "
            f"use the asynchronous one of the same package, such as Async{cls.__name__}"
        )
    return checkpointer


def checkpointer_warnings(checkpointer: Any) -> list[str]:
    """Return warnings for a checkpointer that loses threads or leaves them behind, one line each."""
    if checkpointer is None:
        return []
    warnings = []
    cls = type(checkpointer)
    if not _IN_MEMORY_SAVERS.isdisjoint(base.__name__ for base in cls.__mro__):
        warnings.append(
            f"the checkpointer {cls.__name__} stores threads in memory: they grow without limit, are lost when the "
            f"process ends, and are not shared between replicas; use one with a database, such as AsyncPostgresSaver"
        )
    delete = getattr(cls, "adelete_thread", None)
    if getattr(delete, "__qualname__", "BaseCheckpointSaver.").startswith("BaseCheckpointSaver."):
        warnings.append(
            f"the checkpointer {cls.__name__} cannot delete threads (adelete_thread is missing): "
            f"each question without a thread leaves one behind"
        )
    return warnings


def has_breakpoints(graph: Any) -> bool:
    """Return whether the graph was compiled with breakpoints before or after nodes."""
    return any(getattr(graph, name, None) for name in ("interrupt_before_nodes", "interrupt_after_nodes"))


def get_final_nodes(graph: Any) -> frozenset[str] | None:
    """Return the nodes that lead to the end of the graph, or None if they are unknown."""
    with contextlib.suppress(Exception):  # get_graph() evaluates schemas of the user's code
        return frozenset(edge.source for edge in graph.get_graph().edges if edge.target == _END_NODE) or None
    return None


def get_stream_parameters(graph: Any) -> frozenset[str]:
    """Return the parameter names of `astream`; empty if the graph lacks it."""
    stream = getattr(graph, "astream", None)
    try:
        return frozenset(inspect.signature(stream).parameters) if callable(stream) else frozenset()
    except (TypeError, ValueError):
        return frozenset()


def check_state_keys(graph: Any, name: str, input_key: str | None, output_key: str | None) -> None:
    """Check that the graph's state has the keys for the question and the answer, if its keys are known.

    Raises:
        LoadError: A key is missing.
    """
    for state_keys, key, content, setting in (
        (_input_keys(graph), input_key or MESSAGES_KEY, "for the question", "ASKD_GRAPH_INPUT_KEY"),
        (_output_keys(graph), output_key or MESSAGES_KEY, "of the answer", "ASKD_GRAPH_OUTPUT_KEY"),
    ):
        if state_keys and key not in state_keys:
            raise LoadError(
                f"{name}: its state does not contain {key!r} ({', '.join(state_keys)}): "
                f"set {setting} to the key {content}"
            )


def _input_keys(graph: Any) -> list[str]:
    builder = getattr(graph, "builder", None)
    schemas, schema = getattr(builder, "schemas", None), getattr(builder, "input_schema", None)
    return _channel_keys(schemas.get(schema)) if isinstance(schemas, dict) and isinstance(schema, type) else []


def _output_keys(graph: Any) -> list[str]:
    return _channel_keys(getattr(graph, "output_channels", None))


def _channel_keys(channels: Any) -> list[str]:
    if not isinstance(channels, list | dict) or _ROOT_CHANNEL in channels:
        return []
    return [str(channel) for channel in channels]
