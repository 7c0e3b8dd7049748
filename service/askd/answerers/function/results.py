"""Turn what a function returns or yields into an Answer."""

import contextlib
import contextvars
import dataclasses
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any, Final

import msgspec

from askd.answerers.user_code.thread_pool import ThreadPool
from askd.errors import AnswererFailed, NoAnswer
from askd.models import Answer

_ACCEPTED_RESULTS: Final = "a str, None, or a mapping or object with `answer`"
_EXHAUSTED: Final = object()


def to_answer(value: Any) -> Answer:
    """Return the answer for a returned value.

    Raises:
        NoAnswer: The value is None.
        AnswererFailed: The value is not an answer; a TypeError with the reason is the cause.
    """
    if isinstance(value, str):
        return Answer(_encodable_text(value))
    if value is None:
        raise NoAnswer
    if isinstance(value, Answer):
        return value
    fields = _to_fields(value)
    text = fields.pop("answer", None)
    if not isinstance(text, str):
        problem = f"whose `answer` is {type(text).__name__}" if text is not None else "without an `answer`"
        raise _invalid_result(f"the function returned {type(value).__name__} {problem}: return {_ACCEPTED_RESULTS}")
    return Answer(text, fields)


class AnswerBuilder:
    """Builds an answer from a generator's items: texts are joined, objects add fields, None is ignored."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._fields: dict[str, Any] = {}
        self._has_items = False

    def add(self, item: Any) -> str:
        """Add an item and return the delta that it adds to the text, which may be empty. Raises AnswererFailed."""
        if isinstance(item, str):
            return self._append_text(_encodable_text(item))
        if item is None:
            return ""
        fields = dict(item.fields, answer=item.text) if isinstance(item, Answer) else _to_fields(item)
        self._has_items = True
        text = fields.pop("answer", None)
        self._fields |= fields
        if text is None or (self._parts and text == "".join(self._parts)):
            return ""
        if self._parts or not isinstance(text, str):
            raise _invalid_result(
                "the generator yielded an `answer` that differs from the text before it: yield only the remaining text"
            )
        return self._append_text(text)

    def build(self) -> Answer:
        """Return the answer. Raises NoAnswer if there were no items."""
        if not self._has_items:
            raise NoAnswer
        return Answer("".join(self._parts), self._fields)

    def _append_text(self, text: str) -> str:
        self._has_items = True
        if text:
            self._parts.append(text)
        return text


def _encodable_text(value: str) -> str:
    """Return a plain str that can be encoded: subclasses may render differently, lone surrogates have no UTF-8 form."""
    text = value if type(value) is str else str.__str__(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise AnswererFailed from error
    return text


def _to_fields(value: Any) -> dict[str, Any]:
    """Return a mapping or object as plain JSON values."""
    type_name = type(value).__name__
    if not _is_object_like(value):
        raise _invalid_result(f"the function returned {type_name}: return {_ACCEPTED_RESULTS}")
    try:
        plain = msgspec.json.decode(msgspec.json.encode(_to_plain_mapping(value), enc_hook=_encode_hook))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        message = f"the function returned {type_name} that cannot be encoded as JSON: {error}"
        raise _invalid_result(message, cause=error)  # noqa: B904 it has its cause
    if not isinstance(plain, dict):
        raise _invalid_result(
            f"the function returned {type_name}, which is not a JSON object: return {_ACCEPTED_RESULTS}"
        )
    return plain


def _is_object_like(value: Any) -> bool:
    return not isinstance(value, type) and (
        isinstance(value, Mapping | msgspec.Struct)
        or dataclasses.is_dataclass(value)
        or hasattr(value, "model_dump")
        or hasattr(value, "__attrs_attrs__")
    )


def _to_plain_mapping(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # duck typing avoids an import of pydantic
        return value.model_dump(mode="json")
    return dict(value) if isinstance(value, Mapping) else value


def _encode_hook(value: Any) -> Any:
    """Encode types unknown to msgspec: nested pydantic models, other mappings, numpy numbers and arrays."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterator) or not hasattr(value, "tolist"):
        raise TypeError(f"{type(value).__name__} is not JSON serializable")
    return value.tolist()


def _invalid_result(message: str, *, cause: Exception | None = None) -> AnswererFailed:
    """Return an error whose message reaches the log through its cause, and never the client."""
    failed = AnswererFailed()
    failed.__cause__ = TypeError(message)
    failed.__cause__.__cause__ = cause
    return failed


def is_iterator(value: object) -> bool:
    """Return whether the value yields an answer in parts. A list does not: only iterators do."""
    return isinstance(value, AsyncIterator | Iterator)


def iterate(pool: ThreadPool, source: Any) -> AsyncGenerator[Any, None]:
    """Yield the items of `source`; a synchronous iterator runs in the pool, one call for each item.

    Close the generator to close `source`.
    """
    return _iterate_async(source) if isinstance(source, AsyncIterator) else _iterate_in_threads(pool, source)


async def collect(pool: ThreadPool, source: Any) -> list[Any]:
    """Return all items of `source`; a synchronous iterator takes one call in the pool."""
    if isinstance(source, AsyncIterator):
        async with contextlib.aclosing(_iterate_async(source)) as items:
            return [item async for item in items]
    threaded = _ThreadedIterator(pool, source)
    try:
        return await threaded.collect()
    finally:
        threaded.close()


async def _iterate_async(source: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """Like `aclosing`, but accepts iterators without `aclose`."""
    try:
        async for item in source:
            yield item
    finally:
        if close := getattr(source, "aclose", None):
            await close()


async def _iterate_in_threads(pool: ThreadPool, source: Iterator[Any]) -> AsyncGenerator[Any, None]:
    threaded = _ThreadedIterator(pool, source)
    try:
        while (item := await threaded.next_item()) is not _EXHAUSTED:
            yield item
    finally:
        threaded.close()


class _ThreadedIterator:
    """A synchronous iterator that advances in threads, always in the same context.

    Closing a generator while it runs raises ValueError, so `close` leaves that to the thread that runs it.
    """

    def __init__(self, pool: ThreadPool, source: Iterator[Any]) -> None:
        self._pool = pool
        self._source = source
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._is_running = False
        self._is_closing = False
        self._is_exhausted = False

    async def next_item(self) -> Any:
        return await self._pool.run(self._advance, context=self._context)

    async def collect(self) -> list[Any]:
        return await self._pool.run(self._collect_items, context=self._context)

    def close(self) -> None:
        """Close the source in a thread: now, or when its current step ends. Does not wait."""
        with self._lock:
            self._is_closing = True
            needs_no_close = self._is_running or self._is_exhausted
        if not needs_no_close:
            # A copy, because the thread of the last step may still be inside the context.
            self._pool.run_in_background(self._close_source, context=self._context.copy())

    def _collect_items(self) -> list[Any]:
        items = []
        while (item := self._advance()) is not _EXHAUSTED:
            items.append(item)
        return items

    def _advance(self) -> Any:
        with self._lock:
            if self._is_closing:
                return _EXHAUSTED
            self._is_running = True
        item = _EXHAUSTED
        try:
            item = next(self._source, _EXHAUSTED)
        finally:
            self._finish_step(exhausted=item is _EXHAUSTED)
        return item

    def _finish_step(self, *, exhausted: bool) -> None:
        with self._lock:
            self._is_running, self._is_exhausted = False, exhausted
            is_closing = self._is_closing
        if is_closing and not exhausted:
            self._close_source()

    def _close_source(self) -> None:
        if close := getattr(self._source, "close", None):
            close()
