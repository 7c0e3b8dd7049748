"""Create the answerer that a spec names.

The shape of the spec selects the factory, without importing the user's code; that happens in `load`. Each kind of
answerer is imported only if it is used, so a function does not pay for the search library at startup.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from askd.answerers.folder_search import BOOK_SUFFIXES, contains_book
from askd.answerers.spec_errors import spec_not_found_message
from askd.config import Settings
from askd.errors import SpecError
from askd.models import Answerer

AnswererFactory = Callable[[str, Settings], Answerer | None]
"""Returns the answerer for a spec, or None if the spec does not have the shape of this kind."""

_DOTTED_NAME: Final = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_FILE_SPEC: Final = re.compile(rf"(?P<file>.+\.py)(:{_DOTTED_NAME})?")
_MODULE_SPEC: Final = re.compile(rf"(?P<module>{_DOTTED_NAME}):{_DOTTED_NAME}")
_PROJECT_SPEC: Final = re.compile(r"(.*/)?langgraph\.json(#.*)?|.+\.json#.*", re.DOTALL)
_REMOTE_SPEC: Final = re.compile(r"(ask\+)?https?://", re.IGNORECASE)


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


def _create_book(path: Path | None, settings: Settings) -> Answerer:
    from askd.answerers.book.answerer import BookAnswerer  # noqa: PLC0415 loads the search library, which only books need
    from askd.answerers.book.question_similarity import get_min_score  # noqa: PLC0415 as above

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
    from askd.answerers.user_code.answerer import UserCodeAnswerer  # noqa: PLC0415 only code needs it

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
