"""What a function returned or yielded, made into an Answer."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from service.errors import AnswererFailed, NoAnswer
from service.models import Answer

_SHAPES = "a str, None, or a mapping or object with `answer`"


def answer_of(value: Any) -> Answer:
    """Return what `value` answers. Raises NoAnswer for None, AnswererFailed caused by TypeError for what is none."""
    if isinstance(value, str):
        return Answer(_text(value))
    if value is None:
        raise NoAnswer
    if isinstance(value, Answer):
        return value
    fields = _fields(value)
    text = fields.pop("answer", None)
    if not isinstance(text, str):
        found = f"whose `answer` is {type(text).__name__}" if text is not None else "without an `answer`"
        raise _no_answer(f"the function returned {type(value).__name__} {found}: return {_SHAPES}")
    return Answer(text, fields)


class Whole:
    """Gathers what a generator yields: texts are joined, mappings and objects add extra fields, None is nothing."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._fields: dict[str, Any] = {}
        self._some = False

    def take(self, item: Any) -> str:
        """Return the delta that `item` adds to the text, '' for none. Raises AnswererFailed for what is no part."""
        if isinstance(item, str):
            return self._add(_text(item))
        if item is None:
            return ""
        fields = dict(item.fields, answer=item.text) if isinstance(item, Answer) else _fields(item)
        self._some = True
        text = fields.pop("answer", None)
        self._fields |= fields
        if text is None or (self._parts and text == "".join(self._parts)):
            return ""
        if self._parts or not isinstance(text, str):
            raise _no_answer(
                "the generator yielded an `answer` that differs from the text before it: yield the rest only"
            )
        return self._add(text)

    def answer(self) -> Answer:
        """Return the whole. Raises NoAnswer where nothing was yielded."""
        if not self._some:
            raise NoAnswer
        return Answer("".join(self._parts), self._fields)

    def _add(self, text: str) -> str:
        self._some = True
        if text:
            self._parts.append(text)
        return text


def _text(value: str) -> str:
    """A plain str that can be sent: subclasses may render themselves in other ways, lone surrogates not at all."""
    text = value if type(value) is str else str.__str__(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as fault:
            raise AnswererFailed from fault
    return text


def _fields(value: Any) -> dict[str, Any]:
    """Return a mapping or object as plain JSON values, as clients will see them."""
    if not _is_object(value):
        raise _no_answer(f"the function returned {type(value).__name__}: return {_SHAPES}")
    try:
        plain = msgspec.json.decode(msgspec.json.encode(_dumped(value), enc_hook=_encoded))
    except (TypeError, ValueError, msgspec.MsgspecError) as fault:
        said = f"the function returned {type(value).__name__} that is no JSON: {fault}"
        raise _no_answer(said, because=fault)  # noqa: B904 it has its cause
    if not isinstance(plain, dict):
        raise _no_answer(f"the function returned {type(value).__name__}, an object without names: return {_SHAPES}")
    return plain


def _is_object(value: Any) -> bool:
    return not isinstance(value, type) and (
        isinstance(value, Mapping | msgspec.Struct)
        or dataclasses.is_dataclass(value)
        or hasattr(value, "model_dump")
        or hasattr(value, "__attrs_attrs__")
    )


def _dumped(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # pydantic, which is not imported for this
        return value.model_dump(mode="json")
    return dict(value) if isinstance(value, Mapping) else value


def _encoded(value: Any) -> Any:
    """Encode what msgspec does not know: pydantic within mappings, mappings of other kinds, numpy's numbers, arrays."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterator) or not hasattr(value, "tolist"):
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return value.tolist()


def _no_answer(what: str, *, because: Exception | None = None) -> AnswererFailed:
    """The client learns nothing of this; the log does, through the cause."""
    failed = AnswererFailed()
    failed.__cause__ = TypeError(what)
    failed.__cause__.__cause__ = because
    return failed
