"""Map a function's parameters to the question: the text, the Question, or values from the request.

The rules, in this order:

1. A parameter annotated `Question` gets the Question, and so does one named `question` without an annotation, unless
   it is the first.
2. The first parameter gets the text, unless rule 1 applies to it.
3. All other parameters get values from the query or the body.
"""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any, Final

from askd.answerers.function import type_hints
from askd.answerers.function.callables import UserCallable
from askd.answerers.function.parameters import ExtraParameter, ParsedDocstring
from askd.errors import LoadError
from askd.models import Question

_VARIADIC_KINDS: Final = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
_WEB_APP_PARAMETERS: Final = {"scope", "environ"}
"""First parameters of ASGI and WSGI applications."""

_SIGNATURE_OPTIONS: Final[dict[str, Any]] = {}
if sys.version_info >= (3, 14):  # annotations are evaluated lazily; names imported for type checkers do not exist
    import annotationlib

    _SIGNATURE_OPTIONS["annotation_format"] = annotationlib.Format.FORWARDREF


@dataclasses.dataclass(frozen=True)
class QuestionSignature:
    """How to pass a question to the function."""

    text_keyword: str | None
    """Keyword of the text; None passes it as the first positional argument."""
    passes_question_first: bool
    """Whether the first argument is the Question instead of the text."""
    question_keyword: str | None
    """Keyword of a further parameter for the Question, or None."""
    extra_parameters: Sequence[ExtraParameter]
    return_annotation: Any
    """The resolved return annotation; `inspect.Signature.empty` if it is missing or cannot be resolved."""

    @property
    def takes_question(self) -> bool:
        """Whether the answer may depend on more than the text and the parameters."""
        return self.passes_question_first or self.question_keyword is not None

    def bind(self, call: Callable[..., Any], question: Question) -> Callable[[], Any]:
        """Return a function without parameters that calls `call` with the question's arguments."""
        first = question if self.passes_question_first else question.text
        if not self.extra_parameters and self.question_keyword is None and self.text_keyword is None:
            return lambda: call(first)
        values = question.parameters
        keywords: dict[str, Any] = {
            parameter.name: values[parameter.name] for parameter in self.extra_parameters if parameter.name in values
        }
        if self.question_keyword is not None:
            keywords[self.question_keyword] = question
        if self.text_keyword is not None:
            keywords[self.text_keyword] = first
            return lambda: call(**keywords)
        return lambda: call(first, **keywords)


def analyze_signature(function: UserCallable, docstring: ParsedDocstring, *, name: str) -> QuestionSignature:
    """Return how to pass questions to the function.

    Raises:
        LoadError: A request cannot supply a parameter; the message names it.
    """
    signature = _inspect_signature(function, name)
    parameters = [
        parameter for parameter in signature.parameters.values() if parameter.name not in function.bound_keywords
    ]
    if not parameters or parameters[0].kind is Parameter.VAR_KEYWORD:
        raise LoadError(f"{name} takes no argument: add one for the text, as in `def answer(text: str) -> str`")
    first, *rest = parameters
    passes_question_first = type_hints.is_question_type(_resolved_annotation(first, function, name))
    if not passes_question_first:
        _check_text_parameter(first, function, name)
    question_keyword, extra_parameters = None, []
    for parameter in rest:
        if _is_question_parameter(parameter, function, name):
            question_keyword = _keyword_name(parameter, name)
        elif parameter.kind not in _VARIADIC_KINDS and not _is_private(parameter):
            extra_parameters.append(_create_extra_parameter(parameter, function, docstring, name))
    return QuestionSignature(
        text_keyword=first.name if first.kind is Parameter.KEYWORD_ONLY else None,
        passes_question_first=passes_question_first,
        question_keyword=question_keyword,
        extra_parameters=extra_parameters,
        return_annotation=_resolved_return_annotation(signature, function),
    )


def _is_private(parameter: Parameter) -> bool:
    return parameter.name.startswith("_") and parameter.default is not parameter.empty


def _inspect_signature(function: UserCallable, name: str) -> inspect.Signature:
    try:
        return inspect.signature(function.call, **_SIGNATURE_OPTIONS)
    except (ValueError, TypeError) as error:
        raise LoadError(
            f"{name} has no inspectable signature, like some built-in functions: wrap it, "
            f"as in `def answer(text: str) -> str: return …`"
        ) from error


def _resolved_annotation(parameter: Parameter, function: UserCallable, name: str) -> Any:
    try:
        return type_hints.resolve_annotation(parameter.annotation, function.namespace)
    except type_hints.UnresolvedAnnotationError as error:
        raise LoadError(
            f"{name}: the annotation of `{parameter.name}`, {error}, does not exist at run time: "
            f"import it outside `if TYPE_CHECKING:`"
        ) from error


def _resolved_return_annotation(signature: inspect.Signature, function: UserCallable) -> Any:
    try:
        return type_hints.resolve_annotation(signature.return_annotation, function.namespace)
    except type_hints.UnresolvedAnnotationError:
        return signature.empty


def _check_text_parameter(parameter: Parameter, function: UserCallable, name: str) -> None:
    if parameter.name in _WEB_APP_PARAMETERS:
        raise LoadError(f"{name} is a web application, not a function: name the function in it that answers")
    annotation = _resolved_annotation(parameter, function, name)
    if not type_hints.accepts_str(annotation):
        raise LoadError(
            f"{name}: the first parameter gets the text, but `{parameter.name}` is "
            f"{type_hints.format_annotation(annotation)}: make it `{parameter.name}: str`"
        )


def _is_question_parameter(parameter: Parameter, function: UserCallable, name: str) -> bool:
    if parameter.kind in _VARIADIC_KINDS:
        return False
    annotation = _resolved_annotation(parameter, function, name)
    return type_hints.is_question_type(annotation) or (
        parameter.name == "question" and type_hints.is_untyped(annotation)
    )


def _keyword_name(parameter: Parameter, name: str) -> str:
    if parameter.kind is Parameter.POSITIONAL_ONLY:
        raise LoadError(f"{name}: `{parameter.name}` cannot be passed by name: remove the `/` after it")
    return parameter.name


def _create_extra_parameter(
    parameter: Parameter, function: UserCallable, docstring: ParsedDocstring, name: str
) -> ExtraParameter:
    if parameter.name == "q":
        raise LoadError(f"{name}: `q` is the name of the question itself in a request: rename the parameter")
    annotation = _resolved_annotation(parameter, function, name)
    try:
        value_type = type_hints.parameter_type(annotation, parameter.default)
    except TypeError as error:
        raise LoadError(
            f"{name}: `{parameter.name}` is {type_hints.format_annotation(error.args[0])}, which a request cannot "
            f"carry: use {type_hints.SUPPORTED_TYPES}"
        ) from error
    description = docstring.parameters.get(parameter.name, "")
    return ExtraParameter.create(_keyword_name(parameter, name), value_type, parameter.default, description)
