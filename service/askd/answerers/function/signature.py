"""Map a function's parameters to the question: the text, the Question, or values from the request.

The rules, in this order:

1. A parameter annotated `Question` gets the Question, and so does one named `question` without an annotation, unless
   it is the first.
2. A parameter named `q`, or else the first parameter, gets the question, unless rule 1 applies to it: as text, as UTF-8
   if it is `bytes`, or converted to its type. If it is a model or a mapping, the request's parameters are its fields.
3. All other parameters get values from the query or the body. One that a request cannot set keeps its default.
"""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial
from inspect import Parameter
from typing import Any, Final

from askd import models
from askd.answerers.function import type_hints
from askd.answerers.function.callables import UserCallable
from askd.answerers.function.converters import Converter, create_converter, has_type
from askd.answerers.function.docstrings import ParsedDocstring
from askd.answerers.function.parameters import ExtraParameter, ModelParameter, ParameterParser, QuestionParameter
from askd.errors import LoadError
from askd.models import Question, QuestionForm

_VARIADIC_KINDS: Final = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
_WEB_APP_PARAMETERS: Final = {"scope", "environ"}
"""First parameters of ASGI and WSGI applications."""

_SIGNATURE_OPTIONS: Final[dict[str, Any]] = {}
if sys.version_info >= (3, 14):  # annotations are evaluated lazily; names imported for type checkers do not exist
    import annotationlib

    _SIGNATURE_OPTIONS["annotation_format"] = annotationlib.Format.FORWARDREF


@dataclasses.dataclass(kw_only=True)
class QuestionSignature:
    """How to pass a question to the function."""

    name: str = "q"
    """Name of the parameter that gets the question; a request may use it instead of `q`."""
    keyword: str | None = None
    """Keyword of that parameter; None passes it as the first positional argument."""
    passes_question: bool = False
    """Whether that parameter gets the Question instead of the text."""
    passes_json: bool = False
    """Whether that parameter, which has no type, gets another JSON value than text as it is."""
    passes_bytes: bool = False
    """Whether that parameter gets the text encoded as UTF-8."""
    value: QuestionParameter | None = None
    """Converts the question, or the whole request, for that parameter; None if it gets the text or the Question."""
    description: str = ""
    """What the docstring says about that parameter."""
    question_keyword: str | None = None
    """Keyword of a further parameter for the Question, or None."""
    extra_parameters: Sequence[ExtraParameter] = ()
    positional_names: Sequence[str] = ()
    """Names of extra parameters that can only be passed by position, in this order."""
    has_keywords: bool = False
    """Whether the function has `**kwargs`, which get the parameters of a request that have no other place."""
    reserved_names: frozenset[str] = frozenset()
    """Names of parameters that a request must not set, although the function has `**kwargs`."""
    return_annotation: Any = inspect.Signature.empty
    """The resolved return annotation; `inspect.Signature.empty` if it is missing or cannot be resolved."""
    notes: Sequence[str] = ()
    """Remarks for `askd check`, one line each."""

    def __post_init__(self) -> None:
        self.parameters: Sequence[QuestionParameter] = [*self.extra_parameters, *([self.value] if self.value else ())]
        """All parameters that `parse_parameters` converts. A model comes last, because it may take all that remain."""
        self._passes_only_text = not (
            self.parameters
            or self.passes_question
            or self.passes_bytes
            or self.question_keyword
            or self.keyword
            or self.has_keywords
        )

    @property
    def question_form(self) -> QuestionForm:
        """How a request sends the question."""
        if isinstance(self.value, ExtraParameter):
            return QuestionForm(name=self.name, schema=self.value.contract_entry.schema, description=self.description)
        if isinstance(self.value, ModelParameter):
            return self.value.question_form
        return QuestionForm(
            name=self.name,
            description=self.description,
            accepts_json=self.passes_json,
            passes_json=self.passes_json,
        )

    @property
    def takes_mapping(self) -> bool:
        """Whether the function takes all parameters of a request as a mapping."""
        return isinstance(self.value, ModelParameter) and not self.value.fields

    @property
    def contract_entries(self) -> list[models.Parameter]:
        """The parameters other than the question, for the contract."""
        fields = self.value.contract_entries if isinstance(self.value, ModelParameter) else ()
        return [*(parameter.contract_entry for parameter in self.extra_parameters), *fields]

    @property
    def parameter_parser(self) -> ParameterParser:
        """The parser of a request's parameters."""
        untyped_question = self.name if self.passes_json else ""
        return ParameterParser(self.parameters, self.has_keywords, self.reserved_names, untyped_question)

    @property
    def takes_question(self) -> bool:
        """Whether the answer may depend on more than the text and the parameters."""
        return self.passes_question or self.question_keyword is not None

    def bind(self, call: Callable[..., Any], question: Question) -> Callable[[], Any]:
        """Return a function without parameters that calls `call` with the question's arguments."""
        if self._passes_only_text and not question.parameters:
            text = question.text
            return partial(call, text)
        keywords = dict(question.parameters)
        positional = [keywords.pop(name) for name in self.positional_names if name in keywords]
        first = self._first_argument(question, keywords)
        if self.question_keyword is not None:
            keywords[self.question_keyword] = question
        if self.keyword is not None:
            keywords[self.keyword] = first
            return partial(call, *positional, **keywords)
        return partial(call, first, *positional, **keywords)

    def _first_argument(self, question: Question, keywords: dict[str, Any]) -> Any:
        if self.value is not None:
            return keywords.pop(self.value.name)
        if self.passes_question:
            return question
        if self.passes_json and self.name in keywords:
            return keywords.pop(self.name)
        return question.text.encode() if self.passes_bytes else question.text


def analyze_signature(function: UserCallable, docstring: ParsedDocstring, *, name: str) -> QuestionSignature:
    """Return how to pass questions to the function.

    Raises:
        LoadError: A request cannot supply a parameter; the message names it.
    """
    return _SignatureAnalyzer(function, docstring, name).analyze()


class _SignatureAnalyzer:
    def __init__(self, function: UserCallable, docstring: ParsedDocstring, name: str) -> None:
        self._function = function
        self._docstring = docstring
        self._name = name
        self._notes = [function.note] if function.note else []

    def analyze(self) -> QuestionSignature:
        signature = _inspect_signature(self._function, self._name)
        if signature is None:
            note = "it has no inspectable signature, like some built-in functions: it gets the text and nothing else"
            return QuestionSignature(notes=[note])
        parameters = [
            parameter
            for parameter in signature.parameters.values()
            if parameter.name not in self._function.bound_keywords
        ]
        first = next((parameter for parameter in parameters if parameter.name == "q"), next(iter(parameters), None))
        if first is None or first.kind is Parameter.VAR_KEYWORD:
            raise LoadError(
                f"{self._name} takes no argument: add one for the text, as in `def answer(text: str) -> str`"
            )
        rest = [parameter for parameter in parameters if parameter is not first]
        question_keyword = next((_keyword(other, self._name) for other in rest if self._takes_question(other)), None)
        extra = [
            self._create_extra_parameter(other)
            for other in rest
            if other.name != question_keyword and other.kind not in _VARIADIC_KINDS and not _is_private(other)
        ]
        return QuestionSignature(
            **self._analyze_first(first, is_first=first is parameters[0]),
            question_keyword=question_keyword,
            extra_parameters=[parameter for parameter in extra if parameter is not None],
            positional_names=[other.name for other in rest if other.kind is Parameter.POSITIONAL_ONLY],
            has_keywords=any(other.kind is Parameter.VAR_KEYWORD for other in rest),
            reserved_names=frozenset(signature.parameters) | self._function.bound_keywords,
            return_annotation=self._return_annotation(signature),
            notes=self._notes,
        )

    def _analyze_first(self, parameter: Parameter, *, is_first: bool) -> dict[str, Any]:
        """Return the fields of QuestionSignature that describe the parameter for the question."""
        if parameter.name in _WEB_APP_PARAMETERS:
            raise LoadError(f"{self._name} is a web application, not a function: name the function in it that answers")
        annotation = self._annotation(parameter.replace(default=parameter.empty))
        annotation, _ = type_hints.split_field_default(annotation, parameter.default)
        is_nameless = parameter.kind is Parameter.VAR_POSITIONAL or parameter.name.startswith("_")
        facts: dict[str, Any] = {
            "name": "q" if is_nameless else parameter.name,
            "keyword": parameter.name if parameter.kind is Parameter.KEYWORD_ONLY or not is_first else None,
            "description": self._docstring.parameters.get(parameter.name, ""),
        }
        if type_hints.is_question_type(annotation):
            return {**facts, "passes_question": True}
        if type_hints.is_untyped(annotation):
            return {**facts, "passes_json": True}
        if type_hints.accepts_str(annotation) and not type_hints.is_constrained(annotation):
            return facts
        if annotation is bytes:
            return {**facts, "passes_bytes": True}
        try:
            converter = create_converter(annotation)
        except TypeError as error:
            raise LoadError(
                f"{self._name}: the first parameter gets the question, but `{parameter.name}` is "
                f"{type_hints.format_annotation(annotation)}: make it `{parameter.name}: str`"
            ) from error
        return {**facts, "value": self._create_question_parameter(parameter, converter)}

    def _create_question_parameter(self, parameter: Parameter, converter: Converter) -> QuestionParameter:
        if has_type(converter.schema, "object"):
            return ModelParameter.create(parameter.name, converter)
        description = self._docstring.parameters.get(parameter.name, "")
        return ExtraParameter.create(parameter.name, converter, Parameter.empty, description, is_question=True)

    def _takes_question(self, parameter: Parameter) -> bool:
        if parameter.kind in _VARIADIC_KINDS:
            return False
        try:
            annotation = type_hints.resolve_annotation(parameter.annotation, self._function.namespace)
        except type_hints.UnresolvedAnnotationError:
            return False
        return type_hints.is_question_type(annotation) or (
            parameter.name == "question" and type_hints.is_untyped(annotation)
        )

    def _create_extra_parameter(self, parameter: Parameter) -> ExtraParameter | None:
        """Return None for an optional parameter that a request cannot set."""
        try:
            annotation = self._annotation(parameter)
            annotation, default = type_hints.split_field_default(annotation, parameter.default)
            value_type = type_hints.parameter_type(annotation, default)
            converter = create_converter(value_type)
        except TypeError as error:
            if parameter.default is parameter.empty:
                type_name = type_hints.format_annotation(error.args[0])
                raise LoadError(
                    f"{self._name}: `{parameter.name}` is {type_name}, which a request cannot carry: give it a "
                    f"default, or use {type_hints.SUPPORTED_TYPES}"
                ) from error
            self._notes.append(f"`{parameter.name}` keeps its default: a request cannot carry its type")
            return None
        description = self._docstring.parameters.get(parameter.name) or type_hints.annotation_description(annotation)
        return ExtraParameter.create(parameter.name, converter, default, description)

    def _annotation(self, parameter: Parameter) -> Any:
        """Return the annotation; one that does not exist at run time is ignored, because its value may be anything."""
        try:
            return type_hints.resolve_annotation(parameter.annotation, self._function.namespace)
        except type_hints.UnresolvedAnnotationError as error:
            if parameter.default is parameter.empty:
                self._notes.append(f"`{parameter.name}` is not validated: {error} does not exist at run time")
                return Any
            raise TypeError(parameter.annotation) from error

    def _return_annotation(self, signature: inspect.Signature) -> Any:
        try:
            return type_hints.resolve_annotation(signature.return_annotation, self._function.namespace)
        except type_hints.UnresolvedAnnotationError:
            return signature.empty


def _inspect_signature(function: UserCallable, name: str) -> inspect.Signature | None:
    """Return None for a built-in function whose signature is unknown."""
    try:
        return inspect.signature(function.call, **_SIGNATURE_OPTIONS)
    except ValueError:
        return None
    except TypeError as error:
        raise LoadError(f"{name} has no valid signature: {error}") from error


def _is_private(parameter: Parameter) -> bool:
    return parameter.name.startswith("_") and parameter.default is not parameter.empty


def _keyword(parameter: Parameter, name: str) -> str:
    if parameter.kind is Parameter.POSITIONAL_ONLY:
        raise LoadError(f"{name}: `{parameter.name}` cannot be passed by name: remove the `/` after it")
    return parameter.name
