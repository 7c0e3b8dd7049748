"""The callable that a spec names, with its attributes and the namespace of its annotations."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from askd.answerers.function.framework_adapters import adapt_to_function
from askd.answerers.user_code.candidates import ANSWER_METHODS, has_callable_instances
from askd.errors import LoadError


@dataclasses.dataclass(frozen=True)
class UserCallable:
    """A callable, and the plain function inside its partials, methods, objects and decorators."""

    call: Callable[..., Any]
    function: Callable[..., Any]
    bound_keywords: frozenset[str]
    """Keyword arguments that a partial has set. They belong to the author: clients cannot set them."""
    instance: object = None
    """The object that was created from a class; its set-up and clean-up methods are called."""
    note: str = ""
    """What the adapter in the place of the user's object does; empty without an adapter."""

    @property
    def namespace(self) -> Mapping[str, Any]:
        """Global names that the function's annotations may use."""
        return getattr(self.function, "__globals__", {})

    @property
    def doc(self) -> str:
        """The function's docstring, or that of its class if it is a `__call__` without one."""
        doc = self.function.__doc__
        if not doc and not inspect.isroutine(self.call) and not isinstance(self.call, functools.partial):
            doc = type(self.call).__doc__
        return inspect.cleandoc(doc) if isinstance(doc, str) else ""

    @property
    def is_async(self) -> bool:
        """Whether the call returns a coroutine."""
        return inspect.iscoroutinefunction(self._called_function)

    @property
    def is_generator(self) -> bool:
        """Whether the call returns a generator, synchronous or asynchronous."""
        return inspect.isgeneratorfunction(self._called_function) or inspect.isasyncgenfunction(self._called_function)

    @property
    def deterministic(self) -> bool:
        """Whether the code declares itself deterministic."""
        return self._declared_attribute("deterministic") is True

    @property
    def version(self) -> str:
        """The version that the code declares, such as that of its data; empty if it declares none."""
        value = self._declared_attribute("version")
        return value if isinstance(value, str) else ""

    @property
    def _called_function(self) -> Callable[..., Any]:
        """The function that is called, with its decorators: a synchronous wrapper of async code is synchronous."""
        inner = self.call
        while isinstance(inner, functools.partial):
            inner = inner.func
        return inner if inspect.isroutine(inner) else type(inner).__call__

    def _declared_attribute(self, name: str) -> Any:
        for owner in (self.call, getattr(self.call, "func", None), self._called_function):
            value = getattr(owner, name, None)
            if value is not None:
                return value
        return None


def create_user_callable(value: object, *, name: str) -> UserCallable:
    """Return the callable for an object of the user's module; a class is instantiated.

    Raises:
        LoadError: The object cannot be called, or the class cannot be instantiated without arguments.
    """
    instance = None
    if inspect.isclass(value) and not _is_function(value):
        value = instance = _instantiate(value, name)
    if adapted := adapt_to_function(value):
        return UserCallable(adapted.function, inspect.unwrap(adapted.function), frozenset(), instance, adapted.note)
    if not callable(value):
        methods = (getattr(value, method, None) for method in ANSWER_METHODS[1:])
        value = next((method for method in methods if inspect.ismethod(method)), value)
    if not callable(value):
        raise LoadError(f"{name} is {_with_article(type(value).__name__)}, which cannot be called: name a function")
    bound_keywords: set[str] = set()
    inner: Any = value
    while isinstance(inner, functools.partial):
        bound_keywords |= inner.keywords.keys()
        inner = inner.func
    if inspect.isclass(inner):
        inner = inner.__init__
    plain = inner if inspect.isroutine(inner) else type(inner).__call__
    return UserCallable(value, inspect.unwrap(getattr(plain, "__func__", plain)), frozenset(bound_keywords), instance)


def _is_function(cls: type) -> bool:
    """Return whether a question can only be passed to the constructor, as in `Decimal`."""
    defined = {name for base in cls.__mro__ if base is not object for name in base.__dict__}
    return not has_callable_instances(cls) and not defined.isdisjoint({"__init__", "__new__"})


def _instantiate(cls: type, name: str) -> object:
    if not has_callable_instances(cls):
        raise LoadError(
            f"{name} is a class whose instances cannot be called: add a `__call__`, `answer` or `predict` method"
        )
    required = required_parameters(cls)
    if required:
        raise LoadError(
            f"{name} is a class whose constructor requires {', '.join(required)}: add defaults, "
            f"or create an instance in the module and name that"
        )
    return cls()


def required_parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters without a default; empty if they are unknown."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return []
    return [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
