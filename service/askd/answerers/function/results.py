"""Turn the results of a function into an Answer.

Any JSON value can be the answer. A mapping or object with one of `ANSWER_KEYS` has its other fields beside the answer.
"""

import contextlib
import math
import types
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from askd.errors import AnswererFailed, NoAnswer
from askd.models import Answer

ANSWER_KEYS: Final = ("answer", "response", "output", "text", "content")
"""Fields that hold the answer of a mapping or object, in this order; all but the first are names of frameworks."""

_CONVERTERS: Final = ("to_dict", "toDict", "tolist")
"""Methods without arguments that return an object as dict or list, in pandas, DSPy, numpy and others."""
_DEFAULT_STR: Final[Any] = object.__str__
_DEFAULT_REPR: Final[Any] = object.__repr__
_WITHOUT_TEXT: Final = (
    type,
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.ModuleType,
    Iterator,
)
"""Types whose text is about the program, not about its data."""


def to_answer(value: Any) -> Answer:
    """Return the answer for a returned value.

    Raises:
        NoAnswer: The value is None, or its `answer` is None.
        AnswererFailed: The value cannot be encoded as JSON; a TypeError with the reason is the cause.
    """
    if isinstance(value, str):
        return Answer(_encodable_text(value))
    if value is None:
        raise NoAnswer
    return value if isinstance(value, Answer) else _answer_from_json(to_json_value(value))


def to_json_value(value: Any) -> Any:
    """Return the value as plain JSON: dict, list, str, int, float, bool or None. Raises AnswererFailed."""
    if isinstance(value, bytes | bytearray):
        return _decode_bytes(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_encode_hook))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        if text := _answer_attribute(value):
            return {"answer": text}
        message = f"the function returned {type(value).__name__}, which cannot be encoded as JSON: {error}"
        raise _invalid_result(message, cause=error)  # noqa: B904 it has its cause


def _answer_from_json(value: Any) -> Answer:
    if not isinstance(value, dict):
        return _create_answer(value, {})
    key = next((key for key in ANSWER_KEYS if value.get(key) is not None), None)
    if key is None:
        if "answer" in value:
            raise NoAnswer
        return _create_answer(value, {})
    return _create_answer(value[key], {name: field for name, field in value.items() if name not in {key, "answer"}})


def _create_answer(value: Any, fields: Mapping[str, Any]) -> Answer:
    if isinstance(value, str):
        return Answer(value, fields)
    return Answer(msgspec.json.encode(value).decode(), fields, value)


class AnswerBuilder:
    """Builds an answer from a generator's items.

    Texts are joined, mappings and objects add fields, None is ignored. A generator without any text is a list.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._fields: dict[str, Any] = {}
        self._values: list[Any] = []
        """Items that are not text, until there is a text."""
        self._has_items = False

    def add(self, item: Any) -> str:
        """Add an item and return the delta that it adds to the text, which may be empty. Raises AnswererFailed."""
        if isinstance(item, str):
            return self._append_text(_encodable_text(item))
        if item is None:
            return ""
        self._has_items = True
        if isinstance(item, Answer):
            return self._add_answer(item)
        value = to_json_value(item)
        if not isinstance(value, dict):
            return self._add_value(value)
        key = next((key for key in ANSWER_KEYS if isinstance(value.get(key), str)), None)
        if key is None:
            return self._add_mapping(value)
        self._fields |= {name: field for name, field in value.items() if name != key}
        return self._append_text(self._new_text(value[key]) if key == "answer" else value[key])

    def _add_answer(self, answer: Answer) -> str:
        """Add a complete answer, which replaces the text before it unless it continues that text."""
        self._fields |= answer.fields
        text = "".join(self._parts)
        if answer.text.startswith(text):
            return self._append_text(answer.text[len(text) :])
        self._parts = [answer.text]
        return ""

    def build(self) -> Answer:
        """Return the answer. Raises NoAnswer if there were no items."""
        if not self._has_items:
            raise NoAnswer
        if not self._values:
            return Answer("".join(self._parts), self._fields)
        return _answer_from_json(self._values[0] if self._is_single_mapping() else self._values)

    def _append_text(self, text: str) -> str:
        self._has_items = True
        if self._values:
            text = self._convert_values() + text
        if text:
            self._parts.append(text)
        return text

    def _add_value(self, value: Any) -> str:
        """Add an item that is no mapping: its text if there was a text before."""
        if self._parts:
            return self._append_text(_create_answer(value, {}).text)
        self._values.append(value)
        return ""

    def _add_mapping(self, value: dict[str, Any]) -> str:
        """Add a mapping without text: its fields if there was a text before."""
        if self._parts:
            self._fields |= value
        else:
            self._values.append(value)
        return ""

    def _convert_values(self) -> str:
        """Return the text of the items before the first text, and add the fields of mappings among them."""
        values, self._values = self._values, []
        for value in values:
            self._fields |= value if isinstance(value, dict) else {}
        return "".join(_create_answer(value, {}).text for value in values if not isinstance(value, dict))

    def _new_text(self, answer: str) -> str:
        """Return the end of a complete `answer` that was not yielded before."""
        text = "".join(self._parts)
        if not answer.startswith(text):
            raise _invalid_result(
                "the generator yielded an `answer` that differs from the text before it: yield only the remaining text"
            )
        return answer[len(text) :]

    def _is_single_mapping(self) -> bool:
        return len(self._values) == 1 and isinstance(self._values[0], dict)


def _encodable_text(value: str) -> str:
    """Return a plain str that can be encoded: subclasses may render differently, lone surrogates have no UTF-8 form."""
    text = value if type(value) is str else str.__str__(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise AnswererFailed from error
    return text


def _decode_bytes(value: bytes | bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        message = f"the function returned {type(value).__name__} that are not UTF-8 text: {error}"
        raise _invalid_result(message, cause=error)  # noqa: B904 it has its cause


def _encode_hook(value: Any) -> Any:
    """Encode types that msgspec does not know, at any depth."""
    for base in (int, float, str):  # their subclasses
        if isinstance(value, base):
            return base.__str__(value) if base is str else base(value)
    if isinstance(value, complex | tuple | frozenset):  # the last two only as the key of a mapping
        return str(value)
    mapping = _to_builtins(value)
    if mapping is not None:
        return mapping
    if type(value).__str__ is not _DEFAULT_STR:
        return str(value)
    if isinstance(value, Collection):
        return list(value)
    if type(value).__repr__ is not _DEFAULT_REPR and not isinstance(value, (*_WITHOUT_TEXT, Iterator)):
        return repr(value)
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


def _to_builtins(value: Any) -> Any:
    """Return a mapping, an array or an object with an answer as dict or list; None for other objects."""
    cls = type(value)
    if hasattr(cls, "model_dump"):  # duck typing avoids an import of pydantic
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    for name in _CONVERTERS:
        if callable(getattr(cls, name, None)):
            return getattr(value, name)()
    text = _answer_attribute(value)
    return None if text is None else {"answer": text}


def _answer_attribute(value: Any) -> str | None:
    """Return the text of an object that has an answer but is no mapping, such as a response of a client library."""
    for name in ANSWER_KEYS:
        with contextlib.suppress(Exception):  # a property of the user's code
            text = getattr(value, name, None)
            if isinstance(text, str):
                return text
    return None


def _invalid_result(message: str, *, cause: Exception | None = None) -> AnswererFailed:
    """Return an error whose message reaches the log through its cause, and never the client."""
    failed = AnswererFailed()
    failed.__cause__ = TypeError(message)
    failed.__cause__.__cause__ = cause
    return failed
