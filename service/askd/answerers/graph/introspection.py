"""Inspect a graph before it is used. Only `ainvoke` is required, so everything here may be missing."""

import contextlib
import inspect
from collections.abc import Sequence
from typing import Any, Final

from askd.answerers.graph.schema_parameters import SchemaField, configurable_fields, create_parameters, schema_fields
from askd.answerers.graph_state import MESSAGES_KEY
from askd.errors import LoadError

_START_NODE: Final = "__start__"
_END_NODE: Final = "__end__"
_MIDDLEWARE_HOOKS: Final = (".before_agent", ".before_model", ".after_model", ".after_agent")
"""Ends of the names that `langchain.agents.create_agent` gives to the nodes of middleware."""
NO_MEMORY_WARNING: Final = (
    "the graph has no memory, which LangGraph's server would add: to keep threads and answer interrupts, set "
    "ASKD_GRAPH_MEMORY to memory, sqlite:PATH or the URL of a Postgres database"
)
_LIBRARIES: Final = frozenset({"langchain", "langgraph"})
_USUAL_OUTPUT_KEYS: Final = (MESSAGES_KEY, "answer", "response", "output")
_ROOT_CHANNEL: Final = "__root__"
"""The only channel of a state that is not a mapping."""
_IN_MEMORY_SAVERS: Final = frozenset({"InMemorySaver", "MemorySaver"})
_IN_MEMORY_CLASSES: Final = _IN_MEMORY_SAVERS | {"InMemoryStore"}


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


def find_process_memory(graph: Any) -> str:
    """Return the class of the graph's checkpointer or store that keeps its data in this process; empty if none does."""
    for value in (getattr(graph, "checkpointer", None), getattr(graph, "store", None)):
        if not _IN_MEMORY_CLASSES.isdisjoint(base.__name__ for base in type(value).__mro__):
            return type(value).__name__
    return ""


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
    """Return the nodes that lead to the end of the graph, or None if they are unknown.

    The hooks of LangChain's middleware are nodes after the model, so the nodes that lead to them count as well.
    """
    with contextlib.suppress(Exception):  # get_graph() evaluates schemas of the user's code
        predecessors: dict[str, set[str]] = {}
        for edge in graph.get_graph().edges:
            predecessors.setdefault(edge.target, set()).add(edge.source)
        final, unvisited = set[str](), set(predecessors.get(_END_NODE, ()))
        while unvisited:
            node = unvisited.pop()
            final.add(node)
            if node.endswith(_MIDDLEWARE_HOOKS):
                unvisited |= predecessors.get(node, set()) - final
        return frozenset(final - {_START_NODE}) or None
    return None


def get_parameter_names(method: Any) -> frozenset[str]:
    """Return the names of a method's parameters; empty if it is missing."""
    try:
        return frozenset(inspect.signature(method).parameters) if callable(method) else frozenset()
    except (TypeError, ValueError):
        return frozenset()


def get_input_fields(graph: Any) -> list[SchemaField]:
    """Return the fields of the graph's input; empty if they are unknown. Values that LangGraph manages are left out."""
    builder = getattr(graph, "builder", None)
    schema = getattr(builder, "input_schema", None) or getattr(builder, "input", None)
    channels = getattr(builder, "channels", None)
    fields = schema_fields(schema)
    return [field for field in fields if field.name in channels] if isinstance(channels, dict) else fields


def get_context_fields(graph: Any) -> list[SchemaField]:
    """Return the fields of the graph's context, or of its `configurable` before LangGraph 0.6."""
    return schema_fields(getattr(graph, "context_schema", None) or getattr(graph, "config_type", None))


def get_configurable_fields(graph: Any) -> list[SchemaField]:
    """Return the fields that nodes which are runnables declare with `configurable_fields`."""
    specs: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # config_specs evaluates schemas of the user's code
        for node in graph.nodes.values():
            specs |= {spec.id: spec for spec in getattr(node.bound, "config_specs", ())}
    return configurable_fields([*specs.values()])


def get_output_keys(graph: Any) -> list[str]:
    """Return the keys of the graph's output in their order; empty if they are unknown."""
    channels = getattr(graph, "output_channels", None)
    if not isinstance(channels, list | dict) or _ROOT_CHANNEL in channels:
        return []
    return [str(channel) for channel in channels]


def get_output_fields(graph: Any, question_key: str) -> list[str]:
    """Return the keys of an output schema of the author, so that all its fields are meant for clients.

    Messages and the question are left out. A schema that is the state, or that LangChain made for an agent, has
    internal fields as well.
    """
    builder = getattr(graph, "builder", None)
    output, state = getattr(builder, "output_schema", None), getattr(builder, "state_schema", None)
    if output is None or output is state or output.__module__.partition(".")[0] in _LIBRARIES:
        return []
    return [key for key in get_output_keys(graph) if key not in {MESSAGES_KEY, question_key}]


def choose_input_key(fields: Sequence[SchemaField], key: str | None, name: str) -> str:
    """Return the state key for the question.

    That is the configured one, else `messages`, else the first required field that takes text, else the first field.

    Raises:
        LoadError: The state does not contain the configured key.
    """
    if key is not None or not fields:
        _check_key([field.name for field in fields], key, name, "for the question", "ASKD_GRAPH_INPUT_KEY")
        return key or MESSAGES_KEY
    names = [field.name for field in fields]
    if MESSAGES_KEY in names:
        return MESSAGES_KEY
    required = (parameter for parameter in create_parameters(fields) if parameter.contract_entry.required)
    return next((parameter.name for parameter in required if parameter.takes_text), names[0])


def choose_output_key(graph: Any, key: str | None, name: str) -> str:
    """Return the state key of the answer.

    That is the configured one, else `messages`, else `answer`, `response` or `output`, else the last field that
    holds text, else the last field.

    Raises:
        LoadError: The state does not contain the configured key.
    """
    names = get_output_keys(graph)
    if key is not None or not names:
        _check_key(names, key, name, "of the answer", "ASKD_GRAPH_OUTPUT_KEY")
        return key or MESSAGES_KEY
    for usual_name in _USUAL_OUTPUT_KEYS:
        if usual_name in names:
            return usual_name
    builder = getattr(graph, "builder", None)
    schema = getattr(builder, "output_schema", None) or getattr(builder, "output", None)
    texts = [parameter.name for parameter in create_parameters(schema_fields(schema)) if parameter.holds_text]
    return next((text for text in reversed(texts) if text in names), names[-1])


def _check_key(names: Sequence[str], key: str | None, graph_name: str, content: str, setting: str) -> None:
    if key is not None and names and key not in names:
        raise LoadError(
            f"{graph_name}: its state does not contain {key!r} ({', '.join(names)}): set {setting} to the key {content}"
        )
