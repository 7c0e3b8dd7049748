"""Create the answerer that a spec names, and explain why a spec names none.

The shape of the spec selects the factory, without importing the user's code; that happens in `load`. Each kind of
answerer is imported only if it is used, so a function does not pay for the search library at startup.
"""

import difflib
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from askd.config import Settings
from askd.errors import SettingsError, SpecError
from askd.models import Answerer

AnswererFactory = Callable[[str, Settings], Answerer | None]
"""Returns the answerer for a spec, or None if the spec does not have the shape of this kind."""

BOOK_SUFFIXES: Final = (".yaml", ".yml", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".md", ".markdown", ".mdx")
_SUFFIX_LIST: Final = ".yaml, .json, .jsonl, .csv, .tsv, .md or .mdx"
BOOK_DEADLINE: Final = 10.0
"""Default deadline of a book, in seconds: a thousand times the duration of a search."""
CODE_DEADLINE: Final = 60.0
"""Default deadline of code, graphs and servers, in seconds: models are slow."""
DRAIN_MARGIN: Final = 5.0
"""Seconds that a drain lasts beyond the deadline, so that late requests still get their 504."""
BOOK_QUESTION_LENGTH: Final = 1000
"""Default maximum length of a question to a book, in characters: more search terms find nothing more."""

_MAX_SCANNED_FILES: Final = 10_000
_MAX_LISTED_NAMES: Final = 6
_ACCEPTED_SPECS: Final = (
    "a book (file or folder of .yaml, .json, .csv, .md), package.module:name, path/to/file.py:name, langgraph.json, or "
    "a URL"
)
_DOTTED_NAME: Final = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_FILE_SPEC: Final = re.compile(rf"(?P<file>.+\.py)(:{_DOTTED_NAME})?")
_MODULE_SPEC: Final = re.compile(rf"(?P<module>{_DOTTED_NAME}):{_DOTTED_NAME}")
_PROJECT_SPEC: Final = re.compile(r"(.*/)?langgraph\.json(#.*)?|.+\.json#.*", re.DOTALL)
_REMOTE_SPEC: Final = re.compile(r"(ask\+)?https?://", re.IGNORECASE)
_WINDOWS_PATH: Final = re.compile(r"[A-Za-z]:[\\/].*|.*\\.*")


def create_answerer(settings: Settings) -> Answerer:
    """Return the answerer that `settings.answerer` names, not loaded yet. None is the built-in book.

    Raises:
        SpecError: The spec names no answerer; the message lists the alternatives.
    """
    spec = settings.answerer
    if spec is None:
        return _create_book(None, settings)
    for factory in FACTORIES if spec else ():
        answerer = factory(spec, settings)
        if answerer is not None:
            return answerer
    raise SpecError(spec_not_found_message(spec))


def effective_question_max_length(settings: Settings, answerer: Answerer) -> int:
    """Return the maximum length of a question in characters: the setting, or the default of the answerer's kind."""
    if settings.question_max_length is not None:
        return settings.question_max_length
    return BOOK_QUESTION_LENGTH if answerer.kind == "book" else settings.body_max_size


def effective_deadline(settings: Settings, answerer: Answerer) -> float:
    """Return the deadline for an answer in seconds: the setting, or the default of the answerer's kind."""
    if settings.deadline is not None:
        return settings.deadline
    return BOOK_DEADLINE if answerer.kind == "book" else CODE_DEADLINE


def effective_drain_timeout(settings: Settings, answerer: Answerer) -> float:
    """Return the maximum duration of a drain in seconds: the setting, or five seconds more than the deadline.

    Raises:
        SettingsError: The drain timeout is shorter than the deadline.
    """
    deadline = effective_deadline(settings, answerer)
    if settings.drain_timeout is None:
        return deadline + DRAIN_MARGIN
    if settings.drain_timeout < deadline:
        problem = f"--drain-timeout={settings.drain_timeout:g}s is shorter than the deadline of {deadline:g}s"
        reason = "requests within their deadline would be cancelled during a drain"
        raise SettingsError([f"{problem}: {reason}; use at least {deadline:g}s"])
    return settings.drain_timeout


def contains_book(folder: Path) -> bool:
    """Return whether the folder or a subfolder has a book file; hidden names are skipped. Raises OSError."""
    return any(Path(name).suffix.lower() in BOOK_SUFFIXES for name in _scanned_files(folder))


def _create_book(path: Path | None, settings: Settings) -> Answerer:
    from askd.answerers.book.answerer import BookAnswerer  # noqa: PLC0415 loads the search library, which only books need
    from askd.answerers.book.matching import get_min_score  # noqa: PLC0415 as above

    min_score = get_min_score(settings.book_match, settings.book_threshold)
    return BookAnswerer(
        path,
        min_score=min_score,
        semantic=settings.book_semantic,
        deterministic=settings.deterministic,
        refuse_duplicates=settings.book_refuse_duplicates,
        log_unanswered=settings.log_unanswered,
    )


def _book_factory(spec: str, settings: Settings) -> Answerer | None:
    path = Path(spec)
    try:
        is_book = contains_book(path) if path.is_dir() else path.is_file() and path.suffix.lower() in BOOK_SUFFIXES
    except (OSError, ValueError):  # no access, name too long, NUL in the name: spec_not_found_message gives the reason
        return None
    return _create_book(path, settings) if is_book else None


def _project_factory(spec: str, settings: Settings) -> Answerer | None:
    if not _PROJECT_SPEC.fullmatch(spec):
        return None
    from askd.answerers.graph.project import resolve_project  # noqa: PLC0415 only projects need it

    project = resolve_project(spec)
    if project is None:
        return None
    from askd.answerers.graph import GraphAnswerer  # noqa: PLC0415 only graphs need it

    return GraphAnswerer(
        spec,
        threads=settings.threads,
        deterministic=settings.deterministic,
        input_key=settings.graph_input_key,
        output_key=settings.graph_output_key,
        memory=settings.graph_memory,
        project=project,
    )


def _code_factory(spec: str, settings: Settings) -> Answerer | None:
    file_spec, module_spec = _FILE_SPEC.fullmatch(spec), _MODULE_SPEC.fullmatch(spec)
    if file_spec and not Path(file_spec["file"]).is_file():
        return None
    if not file_spec and (not module_spec or Path(module_spec["module"]).is_file()):
        return None
    from askd.answerers.user_code.delegating_answerer import UserCodeAnswerer  # noqa: PLC0415 only code needs it

    return UserCodeAnswerer(spec, settings)


def _remote_factory(spec: str, settings: Settings) -> Answerer | None:
    if not _REMOTE_SPEC.match(spec):
        return None
    from askd.answerers.remote import create_remote_answerer  # noqa: PLC0415 loads the HTTP client, which only these need

    return create_remote_answerer(spec, settings)


def _plugin_factory(spec: str, settings: Settings) -> Answerer | None:
    if ":" not in spec or _REMOTE_SPEC.match(spec) or _FILE_SPEC.fullmatch(spec):
        return None
    from askd.answerers.plugins import create_plugin_answerer  # noqa: PLC0415 scans all installed packages

    return create_plugin_answerer(spec, settings)


FACTORIES: Final[tuple[AnswererFactory, ...]] = (
    _project_factory,
    _book_factory,
    _plugin_factory,
    _code_factory,
    _remote_factory,
)
"""Tried in this order: a path that exists comes first."""


def spec_not_found_message(spec: str) -> str:
    """Return one line that explains why `spec` names no answerer and what to use instead."""
    try:
        return f"invalid answerer {spec!r}: {_reason(spec)}"
    except (OSError, ValueError) as error:
        return f"invalid answerer {spec!r}: {getattr(error, 'strerror', None) or error}"


def _reason(spec: str) -> str:
    if not spec:
        return f"the spec is empty. Use {_ACCEPTED_SPECS}"
    if "://" in spec:
        return f"servers have URLs with http://, https://, ask+http:// or ask+https://. Use {_ACCEPTED_SPECS}"
    path = Path(spec)
    if path.is_dir():
        return _folder_reason(path)
    if path.exists():
        return _file_reason(path)
    if _WINDOWS_PATH.fullmatch(spec) and os.sep == "/":
        return f"this looks like a Windows path, but askd runs on {os.uname().sysname}: use / between the folders"
    module, colon, attribute = spec.rpartition(":")
    return _module_attribute_reason(module, attribute) if colon else _missing_path_reason(path)


def _folder_reason(path: Path) -> str:
    modules = sorted(file.name for file in path.glob("*.py") if file.name != "__init__.py")
    if modules:
        return f"the folder contains no book, but {_join_first(modules)}: use {path / modules[0]}:NAME"
    names = sorted(file.name for file in path.iterdir())
    contents = f"it contains {_join_first(names)}" if names else "it is empty"
    return f"the folder contains no {_SUFFIX_LIST} file; {contents}"


def _file_reason(path: Path) -> str:
    if not path.is_file():
        return "it is neither a file nor a folder"
    suffix = f"unsupported suffix {path.suffix}" if path.suffix else "missing suffix"
    return f"{suffix}. A book is {_SUFFIX_LIST}, code is path/to/file.py:name"


def _module_attribute_reason(module: str, attribute: str) -> str:
    if not module:
        return "the name before the colon is missing: use package.module:name or path/to/file.py:name"
    if not attribute and ":" in module:
        return f"the name after the last colon is missing: use {module}"
    path = Path(module)
    if path.suffix == ".py" and not path.is_file():
        return _missing_path_reason(path)
    if path.suffix != ".py" and Path(f"{module}.py").is_file():
        return f"{module} does not exist, but {module}.py does: use {module}.py:{attribute or 'NAME'}"
    return _invalid_attribute_reason(module, attribute)


def _invalid_attribute_reason(module: str, attribute: str) -> str:
    if not all(part.isidentifier() for part in attribute.split(".")):
        return f"{attribute!r} after the colon is not a Python name: use {module}:NAME, such as {module}:answer"
    if Path(module).exists():
        return f"{module} is not a Python file, so it cannot contain {attribute}"
    return f"{module!r} is not a valid module name: use package.module:{attribute} or path/to/file.py:{attribute}"


def _missing_path_reason(path: Path) -> str:
    name = str(path)
    if Path(f"{name}.py").is_file():
        return f"the file does not exist, but {name}.py does: use {name}.py or {name}.py:NAME"
    folder = path.parent
    if all(part.isidentifier() for part in name.split(".")) and path.suffix not in {".py", *BOOK_SUFFIXES}:
        similar = _similar_names(path.name, folder)
        return f"no such file or folder{similar}. If it is a module, add the function's name: {name}:NAME"
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    return f"{path.name} is not in {folder.resolve()}{_similar_names(path.name, folder) or _folder_contents(folder)}"


def _similar_names(name: str, folder: Path) -> str:
    names = difflib.get_close_matches(name, _visible_names(folder), n=3)
    return f"; similar names: {_join_first(names)}" if names else ""


def _folder_contents(folder: Path) -> str:
    names = _visible_names(folder)
    return f"; the folder contains {_join_first(names)}" if names else "; the folder is empty"


def _visible_names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))


def _scanned_files(folder: Path) -> Iterator[str]:
    """Yield the names of the files below, up to a limit, because `/` is a folder too."""
    folder.stat()  # os.walk ignores a folder that cannot be read
    return itertools.islice(_visible_files(folder), _MAX_SCANNED_FILES)


def _visible_files(folder: Path) -> Iterator[str]:
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (name for name in files if not name.startswith("."))


def _join_first(names: list[str]) -> str:
    return ", ".join(names[:_MAX_LISTED_NAMES]) + (", …" if len(names) > _MAX_LISTED_NAMES else "")
