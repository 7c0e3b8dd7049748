"""Parameters of a function that a request sets."""

import contextlib
import dataclasses
import difflib
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from askd.answerers.function.converters import Converter, Fault, InvalidValue, has_type
from askd.errors import BadQuestion
from askd.models import Parameter, QuestionForm

_TEXT_FIELDS: Final = ("question", "query", "q", "message", "prompt", "text", "input", "content")
"""Fields of a model that get the question if several are text, the most likely name first."""
_OBJECT_SCHEMA: Final = {"type": "object"}
_MAX_NAME_LENGTH: Final = 100
"""Maximum number of characters of a parameter name that an error message repeats."""


class Faults(list[tuple[str, str]]):
    """Names of invalid parameters, each with a sentence about it."""

    def add_all(self, name: str, faults: Iterable[Fault]) -> None:
        """Add the faults of the parameter `name`."""
        for path, message in faults:
            separator = "" if message.startswith("is ") else ":"
            self.append((name, f"`{name}{path}`{separator} {message}."))

    def raise_if_any(self) -> None:
        """Raise one BadQuestion with all faults; its member `errors` has one entry for each if there are several."""
        if not self:
            return
        error = BadQuestion(self[0][0], " ".join(detail for _, detail in self))
        if len(self) > 1:
            error.extensions["errors"] = [{"parameter": name, "detail": detail} for name, detail in self]
        raise error


@dataclasses.dataclass(frozen=True)
class ExtraParameter:
    """A function parameter that a request sets. A required one has the default `inspect.Parameter.empty`."""

    name: str
    converter: Converter
    default: Any
    contract_entry: Parameter
    is_structured: bool
    """Whether the value may be a list or an object, so that a query may repeat the name or send JSON."""
    is_question: bool
    """Whether this is the question, which is converted from text in JSON as well, because most clients send text."""

    @classmethod
    def create(
        cls, name: str, converter: Converter, default: Any, description: str, *, is_question: bool = False
    ) -> "ExtraParameter":
        """Create the parameter with its entry in the contract."""
        schema = dict(converter.schema)
        required = default is inspect.Parameter.empty
        if not required:
            with contextlib.suppress(TypeError):  # a default of the user's own type has no JSON form
                schema["default"] = msgspec.to_builtins(default)
        entry = Parameter(name=name, schema=schema, required=required, description=description)
        return cls(
            name, converter, default, entry, has_type(schema, "array") or has_type(schema, "object"), is_question
        )

    @property
    def contract_entries(self) -> Sequence[Parameter]:
        """The entries in the contract."""
        return [self.contract_entry]

    def parse(self, values: dict[str, Any], faults: Faults, *, from_strings: bool) -> Any:
        """Remove this parameter's value from `values` and return it converted, or the default.

        Args:
            values: A list of strings per name if `from_strings`, else JSON values.
            faults: Receives the faults of the value; the result is None then.
            from_strings: Whether to convert from strings.
        """
        if self.name not in values:
            if self.contract_entry.required:
                faults.append((self.name, f"`{self.name}` is missing."))
            return self.default
        value = values.pop(self.name)
        if self.is_question and isinstance(value, str):
            value, from_strings = [value], True
        try:
            if from_strings:
                is_single = len(value) == 1 and not self.is_structured
                value = value[0] if is_single else _read_strings(value, self.converter.schema)
            return self.converter.convert(value, from_strings=from_strings)
        except InvalidValue as error:
            faults.add_all(self.name, error.faults)
            return None


@dataclasses.dataclass(frozen=True)
class ModelParameter:
    """A first parameter that is a model or a mapping. The request's parameters are its fields.

    A request may also send the whole model as the value of `q` or of the parameter's name.
    """

    name: str
    converter: Converter
    fields: Mapping[str, Parameter]
    """Field by name, with its entry in the contract. Empty for a mapping, which gets all parameters."""
    text_field: str | None
    """The field that gets the question; None if there is none, or if it is not clear which one it is."""

    @classmethod
    def create(cls, name: str, converter: Converter) -> "ModelParameter":
        """Create the parameter from the properties in its schema."""
        properties = converter.schema.get("properties", {})
        required = set(converter.schema.get("required", ()))
        fields = {
            field: Parameter(
                name=field,
                schema={key: value for key, value in schema.items() if key != "description"},
                required=field in required,
                description=schema.get("description", ""),
            )
            for field, schema in properties.items()
        }
        return cls(name, converter, fields, _find_text_field(fields))

    @property
    def contract_entries(self) -> Sequence[Parameter]:
        """The fields other than the question."""
        return [entry for field, entry in self.fields.items() if field != self.text_field]

    @property
    def question_form(self) -> QuestionForm:
        """How a request sends the question: as the text field, or as the whole model."""
        if self.text_field is None:
            return QuestionForm(name=self.name, schema={"type": "object"} if self.fields else {}, required=False)
        field = self.fields[self.text_field]
        return QuestionForm(name=field.name, schema=field.schema, required=field.required)

    def parse(self, values: dict[str, Any], faults: Faults, *, from_strings: bool) -> Any:
        """Remove the model's fields from `values` and return the model. Faults are added as in ExtraParameter."""
        sent = {name: values.pop(name) for name in list(self.fields or values) if name in values}
        whole = values.pop(self.name, None) if self.fields else sent.pop(self.name, None)
        try:
            if from_strings:
                sent = {name: self._read_field(name, value) for name, value in sent.items()}
                whole = None if whole is None else _read_strings(whole, _OBJECT_SCHEMA)
            if self.text_field and isinstance(sent.get(self.text_field), dict):
                whole = sent.pop(self.text_field)
            if isinstance(whole, str) and not self.fields:
                sent, whole = {"q": whole, **sent}, None
            if isinstance(whole, dict):
                sent, whole = whole | sent, None
            return self.converter.convert(sent if whole is None else whole, from_strings=from_strings)
        except InvalidValue as error:
            for path, message in error.faults:
                name = re.split(r"[.\[]", path.lstrip("."), maxsplit=1)[0] or self.name
                faults.add_all(name, [Fault(path.lstrip(".").removeprefix(name), message)])
            return None

    def _read_field(self, name: str, strings: list[str]) -> Any:
        if self.fields:
            return _read_strings(strings, self.fields[name].schema, path=f".{name}")
        return strings[0] if len(strings) == 1 else strings


QuestionParameter = ExtraParameter | ModelParameter


@dataclasses.dataclass(frozen=True)
class ParameterParser:
    """Validates the parameters of a request. Picklable, unless the parameters depend on types of the code."""

    parameters: Sequence[QuestionParameter]
    """The parameters; their values are taken in this order."""
    has_keywords: bool
    """Whether the function takes parameters of any name."""
    reserved_names: frozenset[str]
    """Names that a request must not set nevertheless."""
    untyped_question: str = ""
    """Name of the question if it may be any JSON value; empty if it may not."""

    def parse(self, values: Mapping[str, Any], *, from_strings: bool) -> dict[str, Any]:
        """Return the validated value of each parameter, or its default if the request has none.

        Args:
            values: A list of strings per name if `from_strings`, else JSON values.
            from_strings: Whether to convert values from strings.

        Raises:
            BadQuestion: Values are missing, invalid or unknown; the error lists all of them.
        """
        if not values and not self.parameters:
            return {}
        parameters, remaining, faults = self.parameters, dict(values), Faults()
        result = {
            parameter.name: parameter.parse(remaining, faults, from_strings=from_strings) for parameter in parameters
        }
        for name, value in remaining.items():
            if name == self.untyped_question and not from_strings:
                result[name] = value
            elif self._allows_unknown(name):
                result[name] = value[0] if from_strings and len(value) == 1 else value
            else:
                known = [entry.name for parameter in parameters for entry in parameter.contract_entries]
                faults.append((name, _unknown_parameter_message(name, known)))
        faults.raise_if_any()
        return result

    def _allows_unknown(self, name: str) -> bool:
        return self.has_keywords and name not in self.reserved_names and not name.startswith("_")


def _unknown_parameter_message(name: str, known: Sequence[str]) -> str:
    similar = difflib.get_close_matches(name, known, n=1)
    shown = ", ".join(f"`{other}`" for other in ("q", *known))
    hint = f"did you mean `{similar[0]}`?" if similar else f"use {shown}."
    return f"`{name[:_MAX_NAME_LENGTH]}` is not a parameter: {hint}"


def _read_strings(strings: list[str], schema: Mapping[str, Any], *, path: str = "") -> Any:
    """Return the value that a query or a form has for a parameter, or for its field `path`. Raises InvalidValue."""
    if has_type(schema, "array") and not (len(strings) == 1 and strings[0].startswith("[")):
        return strings
    if len(strings) != 1:
        raise InvalidValue([Fault(path, f"is given {len(strings)} times: give it once")])
    text = strings[0]
    if text.startswith(("{", "[")) and (has_type(schema, "object") or has_type(schema, "array")):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise InvalidValue([Fault(path, f"invalid JSON: {error}")]) from None
    return text


def _find_text_field(fields: Mapping[str, Parameter]) -> str | None:
    texts = [
        name
        for name, field in fields.items()
        if has_type(field.schema, "string") and not {"enum", "format"} & field.schema.keys()
    ]
    required = [name for name in texts if fields[name].required]
    if len(required) == 1:
        return required[0]
    return next((name for name in _TEXT_FIELDS if name in texts), texts[0] if len(texts) == 1 else None)
