"""Finds the entries in the values of a JSON or YAML file, whatever the shape of the file.

Known shapes: a list of entries; entries in groups or below a key such as `faqs`; a map from questions to answers;
conversations as in ChatterBot's corpus; intents with `patterns` and `responses`; schema.org's FAQPage.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from askd.answerers.book.formats import Entry, is_question

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes that lead from the root of a file to a value."""

_QUESTION_KEYS: Final = ("ask", "question", "questions", "q", "prompt", "query", "patterns")
_ANSWER_KEYS: Final = ("answer", "answers", "response", "responses", "a", "text", "acceptedanswer")
_TITLE_ANSWER_KEYS: Final = ("content", "body", "text", "description")
"""Answers of an entry whose question is its `title`, if it has none of the keys above."""
_KEYWORD_KEYS: Final = ("keywords", "keyword")
_RESERVED_FIELDS: Final = frozenset({"answer", "question", "score"})
"""Names of extra fields that the response already has."""
_LIST_SEPARATOR: Final = re.compile(r"[,;|]")
_ENTRY_HINT: Final = "an entry has a question (`ask` or `question`) and an `answer`"


class StructureError(Exception):
    """A value that a book must not contain. The message includes how to fix it."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def find_entries(value: Any, path: Path = ()) -> Iterator[tuple[Path, Entry]]:
    """Yield each entry with its path.

    Args:
        value: Value of a file, or an element of its list.
        path: Path of the value.

    Raises:
        StructureError: A value is neither an entry nor a group of entries.
    """
    if isinstance(value, list):
        if len(path) and _is_conversation(value):
            yield from _find_conversation_entries(value, path)
            return
        for index, item in enumerate(value):
            yield from find_entries(item, (*path, index))
    elif isinstance(value, dict):
        yield from _find_mapping_entries(value, path)
    else:
        raise StructureError(path, f"{describe_type(value)} is not an entry: {_ENTRY_HINT}")


def _find_mapping_entries(value: dict[str, Any], path: Path) -> Iterator[tuple[Path, Entry]]:
    groups: list[str] = []
    is_entry = is_record(value)
    if not is_entry or _get_layout(tuple(value)).by_title:  # a group may have a title and a description
        groups = [key for key, item in value.items() if isinstance(item, (list, dict)) and contains_entries(item)]
    if is_entry and not groups:
        if entry := parse_record(value, path):
            yield path, entry
    elif groups:
        language = value.get("language")
        for key in groups:
            for entry_path, entry in find_entries(value[key], (*path, key)):
                if isinstance(language, str):
                    entry.fields.setdefault("language", language)
                yield entry_path, entry
    elif _is_question_map(value, path):
        for question, answer in value.items():
            yield (*path, question), Entry(question, _parse_answer(answer, (*path, question), question))
    else:
        raise StructureError(path, _describe_missing(value, path))


def _describe_missing(value: Mapping[str, Any], path: Path) -> str:
    keys = ", ".join(f"`{key}`" for key in value) or "no keys"
    if _has_question(value):
        return f"the entry lacks `answer` (it has {keys}): add it"
    if _has_answer(value):
        return f"the entry lacks `ask` (it has {keys}): add it"
    if path and isinstance(path[-1], int):
        return f"an entry with {keys} is unknown: {_ENTRY_HINT}"
    return f"no entries below {keys}: write a list of entries; {_ENTRY_HINT}"


def contains_entries(value: Any) -> bool:
    """Return whether a value is or contains an entry, or is a list of objects that are meant to be entries."""
    if isinstance(value, list):
        return any(
            contains_entries(item)
            or (isinstance(item, list) and _is_conversation(item))
            or (isinstance(item, dict) and any(key.strip().lower() in {"ask", "question"} for key in item))
            for item in value
        )
    if not isinstance(value, dict):
        return False
    return (
        is_record(value)
        or _is_question_map(value, ("",))
        or any(contains_entries(item) for item in value.values() if isinstance(item, (list, dict)))
    )


def parse_record(record: Mapping[str, Any], path: Path = ()) -> Entry | None:
    """Return the entry of an object or a row that has a question and an answer, or None if it is an empty intent.

    Raises:
        StructureError: A value has the wrong type.
    """
    question_key, answer_key, keyword_key, field_keys, _ = _get_layout(tuple(record))
    if question_key is None or answer_key is None:
        raise StructureError(path, _describe_missing(record, path))
    question, answer = record[question_key], record[answer_key]
    if question_key.strip().lower() == "patterns" and not (_filled(question) and _filled(answer)):
        return None
    return Entry(
        _parse_question(question, (*path, question_key), question_key),
        _parse_answer(answer, (*path, answer_key), answer_key),
        _parse_keywords(record[keyword_key], (*path, keyword_key)) if keyword_key and keyword_key in record else [],
        {key: record[key] for key in field_keys if key in record and _filled(record[key])},
    )


class _Layout(NamedTuple):
    """The keys of an object or a row by their meaning; None if it lacks one."""

    question: str | None
    answer: str | None
    keywords: str | None
    fields: tuple[str, ...]
    by_title: bool
    """Whether the question is a title, which a group may have as well."""


@functools.lru_cache(maxsize=256)
def _get_layout(keys: tuple[str, ...]) -> _Layout:
    """Return the layout of objects with these keys. Cached, because all entries of a file are alike."""
    names = {key.strip().lower(): key for key in reversed(keys)}

    def find(candidates: tuple[str, ...]) -> str | None:
        return next((names[name] for name in candidates if name in names), None)

    question, answer, keywords = find(_QUESTION_KEYS), find(_ANSWER_KEYS), find(_KEYWORD_KEYS)
    by_title = question is None and "title" in names and (answer is None or "text" in names)
    if by_title:
        answer = find(_TITLE_ANSWER_KEYS)
        question = names["title"] if answer else None
    elif question is None and "acceptedanswer" in names:
        question = names.get("name")
    used = {question, answer, keywords}
    fields = tuple(key for key in keys if key not in used and key.strip().lower() not in _RESERVED_FIELDS)
    return _Layout(question, answer, keywords, fields, by_title)


def _has_question(value: Mapping[str, Any]) -> bool:
    key = _get_layout(tuple(value)).question
    # `questions` may also be the name of a group.
    return key is not None and not (isinstance(value[key], list) and any(isinstance(item, dict) for item in value[key]))


def _has_answer(value: Mapping[str, Any]) -> bool:
    return _get_layout(tuple(value)).answer is not None


def is_record(value: Mapping[str, Any]) -> bool:
    """Return whether an object or a row has the keys of an entry."""
    return _has_question(value) and _has_answer(value)


def _is_conversation(value: list[Any]) -> bool:
    return len(value) > 1 and all(isinstance(item, str) for item in value)


def _is_question_map(value: Mapping[str, Any], path: Path) -> bool:
    """Return whether the keys are questions and the values answers; at the root, any keys are."""
    if not value or _has_question(value) or _has_answer(value):
        return False
    if not all(isinstance(item, str) or (isinstance(item, list) and _is_texts(item)) for item in value.values()):
        return False
    return not path or 2 * sum(map(is_question, value)) >= len(value)


def _find_conversation_entries(lines: list[str], path: Path) -> Iterator[tuple[Path, Entry]]:
    """Yield the first two lines as an entry, and each later question with its reply.

    The corpus of ChatterBot also lists several answers to one question in this form, so not every line is asked.
    """
    for index, (line, reply) in enumerate(itertools.pairwise(lines)):
        if index == 0 or is_question(line):
            yield (*path, index), Entry(line, reply)


def _is_texts(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, str) for item in items)


def _filled(value: Any) -> bool:
    """Return whether a value is neither empty nor blank nor a list of blank texts."""
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, list):
        return any(_filled(item) for item in value)
    return value is not None and value != {}


def _parse_question(value: Any, path: Path, name: str) -> str | list[str]:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        for index, item in enumerate(value):
            if not isinstance(item, str):
                raise StructureError((*path, index), _wrong_type(item, name, "a text or a list of texts"))
        return [item for item in value if item.strip()] if name.strip().lower() == "patterns" else value
    raise StructureError(path, _wrong_type(value, name, "a text or a list of texts"))


def _parse_answer(value: Any, path: Path, name: str) -> str:
    """Return the text; of several responses to choose from the first, of several paragraphs all."""
    if isinstance(value, dict) and isinstance(text := value.get("text"), str):
        return text
    if isinstance(value, list) and _is_texts(value):
        if name.strip().lower() == "responses":
            return next(filter(str.strip, value), "")
        return "\n\n".join(value)
    if not isinstance(value, str):
        raise StructureError(path, _wrong_type(value, name, "a text"))
    return value


def _parse_keywords(value: Any, path: Path) -> list[str]:
    keywords = _LIST_SEPARATOR.split(value) if isinstance(value, str) else value
    if keywords is not None and not (isinstance(keywords, list) and all(isinstance(item, str) for item in keywords)):
        raise StructureError(path, _wrong_type(value, str(path[-1]), "a list of texts"))
    return [item.strip() for item in keywords or () if item.strip()]


def _wrong_type(value: Any, name: str, expected: str) -> str:
    quotes = "" if isinstance(value, (list, dict)) else ', in quotes ("42", "yes")'
    return f"`{name}` is {describe_type(value)}: write {expected}{quotes}"


def describe_type(value: Any) -> str:
    """Return the name of the type of a JSON or YAML value, with its article."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "a mapping"
