"""What a function's parameters are for: the text, the Question, or values that the client may give beside the text.

The rules, in this order: what is annotated `Question` gets the Question; so does one named `question` without an
annotation that is not the first; the first of all gets the text, unless it gets the Question, which has the text in
it; every other one is filled from the query or the body.
"""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Sequence
from inspect import Parameter as Formal
from typing import Any, Final

from service.answerers.function import annotations
from service.answerers.function.docstring import Doc
from service.answerers.function.parameters import Beside
from service.answerers.function.target import Target
from service.errors import LoadError
from service.models import Question

_GATHERING: Final = {Formal.VAR_POSITIONAL, Formal.VAR_KEYWORD}
_LENIENT: Final[dict[str, Any]] = {}
if sys.version_info >= (3, 14):  # annotations are evaluated late there, and names for type checkers only are missing
    import annotationlib

    _LENIENT["annotation_format"] = annotationlib.Format.FORWARDREF
_APPLICATION: Final = {"scope", "environ"}
"""First parameters of ASGI and WSGI applications."""


@dataclasses.dataclass(frozen=True)
class Signature:
    """How a question becomes arguments."""

    first: str | None
    """Keyword of the text; None passes it as the first positional argument."""
    leading: bool
    """Whether the first argument is the Question in place of the text."""
    question: str | None
    """Keyword of the Question beside the text; None: there is none."""
    beside: Sequence[Beside]
    returns: Any
    """The resolved return annotation; `inspect.Signature.empty` where there is none or it cannot be resolved."""

    @property
    def takes_question(self) -> bool:
        """Whether the answer may depend on more than the text and the parameters."""
        return self.leading or self.question is not None

    def bound(self, call: Callable[..., Any], question: Question) -> Callable[[], Any]:
        """Return `call` with its arguments, ready to be made."""
        first = question if self.leading else question.text
        if not self.beside and self.question is None and self.first is None:
            return lambda: call(first)
        given = question.parameters
        keywords: dict[str, Any] = {each.name: given[each.name] for each in self.beside if each.name in given}
        if self.question is not None:
            keywords[self.question] = question
        if self.first is not None:
            keywords[self.first] = first
            return lambda: call(**keywords)
        return lambda: call(first, **keywords)


def signature_of(target: Target, doc: Doc, *, name: str) -> Signature:
    """Raise LoadError, which names the parameter, for what cannot be filled."""
    signature = _read(target, name)
    formals = [each for each in signature.parameters.values() if each.name not in target.bound]
    if not formals or formals[0].kind is Formal.VAR_KEYWORD:
        raise LoadError(f"{name} takes no argument: give it one for the text, as in `def answer(text: str) -> str`")
    first, *rest = formals
    leading = annotations.takes_question(_annotation(first, target, name))
    if not leading:
        _check_text(first, target, name)
    question, beside = None, []
    for formal in rest:
        if _gets_question(formal, target, name):
            question = _keyword(formal, name)
        elif formal.kind not in _GATHERING and not (formal.name.startswith("_") and formal.default is not formal.empty):
            beside.append(_beside(formal, target, doc, name))
    keyword = first.name if first.kind is Formal.KEYWORD_ONLY else None
    return Signature(keyword, leading, question, beside, _returns(signature, target))


def _read(target: Target, name: str) -> inspect.Signature:
    try:
        return inspect.signature(target.call, **_LENIENT)
    except (ValueError, TypeError) as fault:
        raise LoadError(
            f"{name} does not tell its parameters, as some built-in functions: wrap it, "
            f"as in `def answer(text: str) -> str: return …`"
        ) from fault


def _annotation(formal: Formal, target: Target, name: str) -> Any:
    try:
        return annotations.resolved(formal.annotation, target.namespace)
    except annotations.Unresolved as fault:
        raise LoadError(
            f"{name}: the annotation of `{formal.name}`, {fault}, names nothing at run time: "
            f"import it outside `if TYPE_CHECKING:`"
        ) from fault


def _returns(signature: inspect.Signature, target: Target) -> Any:
    try:
        return annotations.resolved(signature.return_annotation, target.namespace)
    except annotations.Unresolved:
        return signature.empty


def _check_text(formal: Formal, target: Target, name: str) -> None:
    if formal.name in _APPLICATION:
        raise LoadError(f"{name} is a web application, which serves itself: name the function behind it that answers")
    annotation = _annotation(formal, target, name)
    if not annotations.takes_text(annotation):
        raise LoadError(
            f"{name}: the first parameter gets the text, but `{formal.name}` is {annotations.described(annotation)}: "
            f"make it `{formal.name}: str`"
        )


def _gets_question(formal: Formal, target: Target, name: str) -> bool:
    if formal.kind in _GATHERING:
        return False
    annotation = _annotation(formal, target, name)
    return annotations.takes_question(annotation) or (formal.name == "question" and annotations.is_free(annotation))


def _keyword(formal: Formal, name: str) -> str:
    if formal.kind is Formal.POSITIONAL_ONLY:
        raise LoadError(f"{name}: `{formal.name}` cannot be passed by name: remove the `/` after it")
    return formal.name


def _beside(formal: Formal, target: Target, doc: Doc, name: str) -> Beside:
    if formal.name == "q":
        raise LoadError(f"{name}: `q` is the name of the question itself in a request: rename the parameter")
    annotation = _annotation(formal, target, name)
    try:
        kind = annotations.value_type(annotation, formal.default)
    except TypeError as fault:
        raise LoadError(
            f"{name}: `{formal.name}` is {annotations.described(fault.args[0])}, which a request cannot carry: "
            f"use {annotations.SUPPORTED}"
        ) from fault
    return Beside.made(_keyword(formal, name), kind, formal.default, doc.parameters.get(formal.name, ""))
