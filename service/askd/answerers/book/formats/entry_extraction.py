"""Finds the entries in the values of a JSON or YAML file, whatever the shape of the file.

Known shapes: a list of entries; entries in groups or below a key such as `faqs`; a map from questions to answers;
conversations as in ChatterBot's corpus; intents with `patterns` and `responses`; schema.org's FAQPage. Keys may be
words of the languages that askd knows, or end in a language, as in `question_en` and `question_fr`.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from askd.answerers.book.formats import Entry, is_question
from askd.answerers.book.languages import find_language

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes that lead from the root of a file to a value."""

# fmt: off
_QUESTION_KEYS: Final = (
    "ask", "question", "questions", "q", "prompt", "query", "patterns",
    "frage", "pregunta", "domanda", "pergunta", "vraag", "вопрос", "السؤال", "问题", "問題", "質問", "질문",
)
_ANSWER_KEYS: Final = (
    "answer", "answers", "response", "responses", "a", "text", "acceptedanswer",
    "antwort", "réponse", "reponse", "respuesta", "risposta", "resposta", "antwoord", "ответ", "الجواب", "答案", "回答",
    "답변",
)
# fmt: on
_TITLE_KEYS: Final = ("title", "heading", "header")
"""Questions of an entry that has none of the keys above."""
_TITLE_ANSWER_KEYS: Final = ("content", "contents", "body", "text", "description", "descriptions")
"""Answers of such an entry."""
_KEYWORD_KEYS: Final = ("keywords", "keyword")
_RESERVED_FIELDS: Final = frozenset({"answer", "question", "score"})
"""Names of extra fields that the response already has."""
_LANGUAGE: Final = re.compile(r"[a-z]{2}")
_LANGUAGE_SUFFIX: Final = re.compile(r"(.+)[-_.]([a-z]{2})")
"""Name of a key in one of several languages."""
_WORD_BOUNDARY: Final = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
_QUALIFIERS: Final = frozenset({"bot", "canonical", "customer", "faq", "full", "html", "main", "text", "user"})
"""Words of a key that do not change its meaning, as in `canonical_question` and `answerText`."""
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
    if not is_entry or _get_layouts(tuple(value))[0].by_title:  # a group may have a title and a description
        groups = [key for key, item in value.items() if isinstance(item, (list, dict)) and contains_entries(item)]
    if is_entry and not groups:
        for entry in parse_record(value, path):
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


def parse_record(record: Mapping[str, Any], path: Path = ()) -> Iterator[Entry]:
    """Yield the entry of an object or a row that has a question and an answer, in each language of its keys.

    An empty intent has no entry.

    Raises:
        StructureError: A value has the wrong type.
    """
    layouts = _get_layouts(tuple(record))
    question = record.get(layouts[0].question or "")
    if isinstance(question, dict) and any(map(_is_language, question)):
        for language in question:
            yield from parse_record(_select_language(record, language), path)
        return
    if len(layouts) > 1:  # a language may lack a translation
        layouts = [item for item in layouts if any(_filled(record[key]) for key in item[:2] if key)] or layouts
    for layout in layouts:
        if entry := _parse_entry(record, layout, path):
            yield entry


def _is_language(key: str) -> bool:
    return bool(_LANGUAGE.fullmatch(key) or find_language(key))


def _select_language(record: Mapping[str, Any], language: str) -> dict[str, Any]:
    """Return an object with the texts in one language instead of objects with a text in each language."""
    texts = {
        key: value[language] if isinstance(value, dict) and language in value else value
        for key, value in record.items()
    }
    return {"language": language, **texts}


def _parse_entry(record: Mapping[str, Any], layout: "_Layout", path: Path) -> Entry | None:
    if layout.question is None or layout.answer is None:
        raise StructureError(path, _describe_missing(record, path))
    question, answer, keywords = record[layout.question], record[layout.answer], layout.keywords
    if layout.question.strip().lower() == "patterns" and not (_filled(question) and _filled(answer)):
        return None
    fields = {key: record[key] for key in layout.fields if key in record and _filled(record[key])}
    if layout.language:
        fields.setdefault("language", layout.language)
    return Entry(
        _parse_question(question, (*path, layout.question), layout.question),
        _parse_answer(answer, (*path, layout.answer), layout.answer),
        _parse_keywords(record[keywords], (*path, keywords)) if keywords and keywords in record else [],
        fields,
    )


class _Layout(NamedTuple):
    """The keys of an object or a row by their meaning; None if it lacks one."""

    question: str | None
    answer: str | None
    keywords: str | None
    fields: tuple[str, ...]
    by_title: bool
    """Whether the question is a title, which a group may have as well."""
    language: str | None
    """Suffix of the keys, such as "en"."""


@functools.lru_cache(maxsize=256)
def _get_layouts(keys: tuple[str, ...]) -> Sequence[_Layout]:
    """Return the layout of objects with these keys, or a layout for each language if the names end in languages.

    Cached, because all entries of a file are alike.
    """
    names = {key: key.strip().lower() for key in keys}
    simple_names = {key: _remove_qualifiers(key) for key in keys}
    return _find_complete_layouts(names) or _find_complete_layouts(simple_names) or [_find_layout(names)]


def _remove_qualifiers(key: str) -> str:
    words = [word.lower() for word in _WORD_BOUNDARY.split(key) if word]
    return "_".join(word for word in words if word not in _QUALIFIERS) or key.strip().lower()


def _find_complete_layouts(names: Mapping[str, str]) -> list[_Layout]:
    """Return the layouts that have a question and an answer, given the name of each key."""
    layout = _find_layout(names)
    if layout.question and layout.answer:
        return [layout]
    names_by_language: dict[str, dict[str, str]] = {}
    for key, name in names.items():
        if match := _LANGUAGE_SUFFIX.fullmatch(name):
            names_by_language.setdefault(match[2], {})[key] = match[1]
    layouts = [_find_layout(own, language) for language, own in names_by_language.items()]
    languages = [item.language for item in layouts if item.question and item.answer and item.language]
    common = {key: name for key, name in names.items() if not any(key in names_by_language[item] for item in languages)}
    return [_find_layout(names_by_language[language] | common, language) for language in languages]


def _find_layout(names: Mapping[str, str], language: str | None = None) -> _Layout:
    """Return the layout of an object, given the name of each of its keys: in lower case, without a language."""
    keys = {name: key for key, name in reversed(tuple(names.items()))}

    def find(candidates: tuple[str, ...]) -> str | None:
        return next((keys[name] for name in candidates if name in keys), None)

    question, answer, keywords = find(_QUESTION_KEYS), find(_ANSWER_KEYS), find(_KEYWORD_KEYS)
    title = find(_TITLE_KEYS)
    by_title = bool(question is None and title and (answer is None or "text" in keys))
    if by_title:
        answer = find(_TITLE_ANSWER_KEYS)
        question = title if answer else None
    elif question is None and "acceptedanswer" in keys:
        question = keys.get("name")
    used = {question, answer, keywords}
    fields = tuple(key for key, name in names.items() if key not in used and name not in _RESERVED_FIELDS)
    return _Layout(question, answer, keywords, fields, by_title, language)


def _has_question(value: Mapping[str, Any]) -> bool:
    key = _get_layouts(tuple(value))[0].question
    # `questions` may also be the name of a group.
    return key is not None and not (isinstance(value[key], list) and any(isinstance(item, dict) for item in value[key]))


def _has_answer(value: Mapping[str, Any]) -> bool:
    return _get_layouts(tuple(value))[0].answer is not None


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
