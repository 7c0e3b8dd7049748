"""Finds the entries in the values of a JSON or YAML file, whatever the shape of the file.

Known shapes: a list of entries; entries in groups or below a key such as `faqs`; a map from questions to answers;
conversations as in ChatterBot's corpus; intents with `patterns` and `responses`; schema.org's FAQPage.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

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
    """A value is not what a book may contain. The message includes how to fix it."""

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
    groups = [key for key, item in value.items() if _is_container(item) and contains_entries(item)]
    if is_record(value) and not (groups and "title" in _lower_keys(value)):
        entry = parse_record(value, path)
        if entry:
            yield path, entry
    elif groups:
        for key in groups:
            yield from find_entries(value[key], (*path, key))
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
            or (isinstance(item, dict) and not _lower_keys(item).keys().isdisjoint({"ask", "question"}))
            for item in value
        )
    if not isinstance(value, dict):
        return False
    return (
        is_record(value)
        or _is_question_map(value, ("",))
        or any(contains_entries(item) for item in value.values() if _is_container(item))
    )


def parse_record(record: Mapping[str, Any], path: Path = ()) -> Entry | None:
    """Return the entry of an object or a row that has a question and an answer, or None if it is an empty intent.

    Raises:
        StructureError: A value has the wrong type.
    """
    names = _lower_keys(record)
    question_key = _question_key(names)
    answer_key = _answer_key(names)
    keyword_key = next((names[key] for key in _KEYWORD_KEYS if key in names), None)
    if question_key is None or answer_key is None:
        raise StructureError(path, _describe_missing(record, path))
    if "patterns" in names and not (_filled(record[question_key]) and _filled(record[answer_key])):
        return None
    used_keys = {question_key, answer_key, keyword_key}
    return Entry(
        _parse_question(record[question_key], (*path, question_key), question_key),
        _parse_answer(record[answer_key], (*path, answer_key), answer_key),
        _parse_keywords(record[keyword_key], (*path, keyword_key)) if keyword_key else [],
        {
            key: item
            for key, item in record.items()
            if key not in used_keys and key.lower() not in _RESERVED_FIELDS and _filled(item)
        },
    )


def _lower_keys(record: Mapping[str, Any]) -> dict[str, str]:
    return {key.strip().lower(): key for key in reversed(list(record))}


def _question_key(names: Mapping[str, str]) -> str | None:
    key = next((key for key in _QUESTION_KEYS if key in names), None)
    if key is None and "title" in names and any(key in names for key in _TITLE_ANSWER_KEYS):
        key = "title"
    if key is None and "name" in names and "acceptedanswer" in names:
        key = "name"
    return names[key] if key else None


def _answer_key(names: Mapping[str, str]) -> str | None:
    keys: tuple[str, ...] = _ANSWER_KEYS
    if "title" in names and not any(key in names for key in (*_QUESTION_KEYS, *_ANSWER_KEYS)):
        keys = _TITLE_ANSWER_KEYS
    key = next((key for key in keys if key in names), None)
    return names[key] if key else None


def _has_question(value: Mapping[str, Any]) -> bool:
    key = _question_key(_lower_keys(value))
    # `questions` may also be the name of a group.
    return key is not None and not (isinstance(value[key], list) and any(isinstance(item, dict) for item in value[key]))


def _has_answer(value: Mapping[str, Any]) -> bool:
    return _answer_key(_lower_keys(value)) is not None


def is_record(value: Mapping[str, Any]) -> bool:
    """Return whether an object or a row has the keys of an entry."""
    return _has_question(value) and _has_answer(value)


def _is_container(value: Any) -> bool:
    return isinstance(value, (list, dict))


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
    quotes = "" if _is_container(value) else ', in quotes ("42", "yes")'
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
