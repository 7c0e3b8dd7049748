"""What in a module could answer: functions and what else can be called, and graphs. The last are known by their looks.

A graph is whatever has `ainvoke`, as LangGraph's compiled graphs do; nothing of LangGraph is imported to see that.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any, Final

_HOOKS: Final = frozenset({"startup", "shutdown", "ready"})
_NO_GRAPH: Final = frozenset({"str", "dict", "Question", "None"})
"""Annotations that speak against a graph: of `config`, of what is returned."""


def candidates(members: Mapping[str, Any], module: str) -> list[str]:
    """Return the names of what could answer: public, callable, made in this module, and no hook.

    Where there are graphs, these alone: the functions beside them are their nodes.
    """
    public = {name: value for name, value in members.items() if not name.startswith("_") and name not in _HOOKS}
    graphs = [name for name, value in public.items() if is_graph(value) and _is_stateful(value)]
    return graphs or [name for name, value in public.items() if _home(value) == module and _answers(value)]


def answers_by_instance(kind: type) -> bool:
    """Whether objects of the class `kind` can be called."""
    return any("__call__" in base.__dict__ for base in kind.__mro__)


def is_graph(value: object) -> bool:
    """Whether it answers as a graph does; a class of such is none itself, nor is a graph that is not compiled yet."""
    return not inspect.isclass(value) and callable(getattr(value, "ainvoke", None))


def is_builder(value: object) -> bool:
    """Whether it is a graph that waits to be compiled."""
    return not inspect.isclass(value) and all(callable(getattr(value, each, None)) for each in ("add_node", "compile"))


def makes_graph(value: object) -> bool:
    """Whether it looks like a factory of graphs: called without arguments or with `config`, so that no text fits in."""
    if inspect.isclass(value):
        return callable(getattr(value, "ainvoke", None))
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type] # what cannot be called is told by TypeError
    except (TypeError, ValueError):
        return False
    formals = list(signature.parameters.values())
    if _speaks_against(signature.return_annotation):
        return False
    return not formals or (len(formals) == 1 and formals[0].name == "config" and not _speaks_against(formals[0]))


def _speaks_against(annotated: Any) -> bool:
    found = annotated.annotation if isinstance(annotated, inspect.Parameter) else annotated
    return (found if isinstance(found, str) else getattr(found, "__name__", str(found))) in _NO_GRAPH


def _is_stateful(value: object) -> bool:
    """What sets a graph apart from chat models and chains, which have `ainvoke` as well."""
    return hasattr(value, "aget_state") or not hasattr(value, "abatch")


def _answers(value: object) -> bool:
    return answers_by_instance(value) if inspect.isclass(value) else callable(value)


def _home(value: object) -> object:
    while isinstance(value, functools.partial):
        value = value.func
    return getattr(value, "__module__", None)
