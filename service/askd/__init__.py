"""askd, the answer server: it serves a Python function, a graph or a book of questions and answers over HTTP."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from askd.errors import NoAnswer, Refused
    from askd.models import Answer, Answerer, Question

__version__ = "0.1.0"

__all__ = ["Answer", "Answerer", "NoAnswer", "Question", "Refused", "__version__"]

_MODULES: Final = {
    "Answer": "askd.models",
    "Answerer": "askd.models",
    "NoAnswer": "askd.errors",
    "Question": "askd.models",
    "Refused": "askd.errors",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that `askd --version` does not load msgspec."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 the command line imports this package and needs none of it

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
