"""The objects of a module that can answer: functions, classes, chains and graphs."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from askd.answerers.user_code.hooks import HOOK_NAMES

ANSWER_METHODS: Final = ("__call__", "answer", "predict")
"""Methods of an object that answer, in this order."""
_FACTORY_PARAMETERS: Final = frozenset({"config", "runtime"})
_FACTORY_NAME: Final = re.compile(
    r"(graph|agent|workflow|factory|make|create|build|get)|(make|create|build|get)_.*|.*_(graph|agent|workflow|factory)"
)
_NON_GRAPH_ANNOTATIONS: Final = frozenset({"str", "bytes", "int", "float", "bool", "list", "dict", "Question", "None"})
"""Annotations of `config` or of the return value that rule out a graph factory."""
_WEB_APPS: Final = frozenset(
    {("flask", "Flask"), ("quart", "Quart"), ("starlette", "Starlette"), ("fastapi", "FastAPI")}
)
"""Package and name of the classes of web applications."""
AcceptsQuestion = Callable[[object], bool]
"""Returns whether a question can be passed to a callable that is no class."""


def accepts_anything(_: object) -> bool:
    """Return True."""
    return True


def find_candidates(members: Mapping[str, Any], module: str, accepts_question: AcceptsQuestion) -> list[str]:
    """Return the names of the public objects that can answer and are defined in this module, except hooks.

    If there are graphs, only these: the functions next to them are their nodes. Functions that a question cannot be
    passed to count only if there is nothing else: they may be graph factories.
    """
    public = {name: value for name, value in members.items() if not name.startswith("_") and name not in HOOK_NAMES}
    if graphs := [name for name, value in public.items() if is_standalone_graph(value)]:
        return graphs
    callables = {name: value for name, value in public.items() if _is_own_callable(value, module)}
    usable = [name for name, value in callables.items() if inspect.isclass(value) or accepts_question(value)]
    return usable or list(callables)


def has_callable_instances(cls: type) -> bool:
    """Return whether instances of the class can be called, or have one of ANSWER_METHODS."""
    return any(inspect.isroutine(base.__dict__.get(name)) for base in cls.__mro__ for name in ANSWER_METHODS)


def is_graph(value: object) -> bool:
    """Return whether the object is a compiled graph, rather than a class of graphs or a builder."""
    return not inspect.isclass(value) and _has_methods(value, "ainvoke")


def is_graph_builder(value: object) -> bool:
    """Return whether the object is a graph that is not compiled yet."""
    return not inspect.isclass(value) and _has_methods(value, "add_node", "compile")


def _has_methods(value: object, *names: str) -> bool:
    try:
        return all(callable(getattr(value, name, None)) for name in names)
    except Exception:  # proxies such as flask.request raise outside of a request
        return False


def is_graph_factory(value: object) -> bool:
    """Return whether the object is probably a graph factory: it takes no text, but nothing, `config` or `runtime`."""
    if inspect.isclass(value):
        return callable(getattr(value, "ainvoke", None))
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type] # an object that is not callable is a TypeError
    except (TypeError, ValueError):
        return False
    if _rules_out_graph(signature.return_annotation):
        return False
    return all(
        parameter.name in _FACTORY_PARAMETERS and not _rules_out_graph(parameter.annotation)
        for parameter in signature.parameters.values()
    )


def is_unlikely_factory(name: str, value: object) -> bool:
    """Return whether a function takes no argument, and neither its name nor its annotation promises a graph.

    Such a function is only called if the user names it, because it may do anything, such as delete files.
    """
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type] # an object that is not callable is a TypeError
    except Exception:  # also what proxies such as flask.request raise outside of a request
        return False
    if inspect.isclass(value) or signature.parameters or _FACTORY_NAME.fullmatch(name):
        return False
    return signature.return_annotation is signature.empty or _rules_out_graph(signature.return_annotation)


def find_web_app(members: Mapping[str, Any]) -> str | None:
    """Return the name of a web application of a known framework; None if there is none. Imports no framework."""
    for name, value in members.items():
        if any((str(base.__module__).partition(".")[0], base.__name__) in _WEB_APPS for base in type(value).__mro__):
            return name
    return None


def _rules_out_graph(annotation: Any) -> bool:
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return name.partition("[")[0] in _NON_GRAPH_ANNOTATIONS


def is_chain(value: object) -> bool:
    """Return whether the object is a chat model or a chain, which have `ainvoke` as graphs do, but no state."""
    return is_graph(value) and _has_methods(value, "abatch") and not _has_methods(value, "aget_state")


def is_standalone_graph(value: object) -> bool:
    """Return whether the object is a graph, which has state, rather than a chat model or a chain."""
    return is_graph(value) and not is_chain(value)


def _is_own_callable(value: object, module: str) -> bool:
    try:
        if inspect.isclass(value):
            return value.__module__ == module and has_callable_instances(value)
        return (callable(value) and _defining_module(value) == module) or is_chain(value)
    except Exception:  # proxies such as flask.request raise outside of a request
        return False


def _defining_module(value: object) -> object:
    while isinstance(value, functools.partial):
        value = value.func
    return getattr(value, "__module__", None)
