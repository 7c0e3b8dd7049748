"""The object that a spec names: what is called in the end, what it declares, and where its annotations are at home."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from service.answerers.candidates import answers_by_instance
from service.errors import LoadError


@dataclasses.dataclass(frozen=True)
class Target:
    """What is called, and the plain function behind it, below partials, methods, objects and decorators."""

    call: Callable[..., Any]
    plain: Callable[..., Any]
    bound: frozenset[str]
    """Keywords that a partial has filled: they are the author's, no client may set them."""

    @property
    def namespace(self) -> Mapping[str, Any]:
        """Names that the function's annotations may use."""
        return getattr(self.plain, "__globals__", {})

    @property
    def doc(self) -> str:
        """The function's docstring; for an object whose `__call__` has none, its class's."""
        doc = self.plain.__doc__
        if not doc and not inspect.isroutine(self.call) and not isinstance(self.call, functools.partial):
            doc = type(self.call).__doc__
        return inspect.cleandoc(doc) if isinstance(doc, str) else ""

    @property
    def is_async(self) -> bool:
        """Whether calling it gives a coroutine at once."""
        return inspect.iscoroutinefunction(self._code)

    @property
    def is_generator(self) -> bool:
        """Whether calling it gives a generator at once, of either kind."""
        return inspect.isgeneratorfunction(self._code) or inspect.isasyncgenfunction(self._code)

    @property
    def deterministic(self) -> bool:
        """What the code declares of itself; False where it says nothing."""
        return self._declared("deterministic") is True

    @property
    def version(self) -> str:
        """A version that the code declares of itself, such as that of its data; empty where it says nothing."""
        value = self._declared("version")
        return value if isinstance(value, str) else ""

    @property
    def _code(self) -> Callable[..., Any]:
        """What runs at the call, decorators included: a synchronous wrapper of an async function is synchronous."""
        inner = self.call
        while isinstance(inner, functools.partial):
            inner = inner.func
        return inner if inspect.isroutine(inner) else type(inner).__call__

    def _declared(self, name: str) -> Any:
        for place in (self.call, getattr(self.call, "func", None), self._code):
            value = getattr(place, name, None)
            if value is not None:
                return value
        return None


def target_of(found: object, *, name: str) -> Target:
    """Raise LoadError for what cannot be called. A class is made into an object, once, here."""
    if inspect.isclass(found):
        found = _made(found, name)
    if not callable(found):
        raise LoadError(f"{name} is {_article(type(found).__name__)}, which cannot be called: name a function")
    bound: set[str] = set()
    inner: Any = found
    while isinstance(inner, functools.partial):
        bound |= inner.keywords.keys()
        inner = inner.func
    plain = inner if inspect.isroutine(inner) else type(inner).__call__
    return Target(found, inspect.unwrap(getattr(plain, "__func__", plain)), frozenset(bound))


def _made(kind: type, name: str) -> object:
    if not answers_by_instance(kind):
        raise LoadError(f"{name} is a class whose objects cannot be called: give it a __call__, or name a function")
    needed = _required(kind)
    if needed:
        raise LoadError(
            f"{name} is a class that needs {', '.join(needed)} to be made: give them defaults, "
            f"or make an object in the module and name that"
        )
    return kind()


def _required(kind: type) -> list[str]:
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (ValueError, TypeError):
        return []
    return [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
    ]


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
