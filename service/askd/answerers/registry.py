"""Create the answerer that a spec names.

The shape of the spec selects the factory, without importing the user's code; that happens in `load`. Each kind of
answerer is imported only if it is used, so a function does not pay for the search library at startup.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from askd.answerers.folder_search import BOOK_SUFFIXES, contains_book
from askd.answerers.spec_errors import spec_not_found_message
from askd.answerers.user_code.importer import ModuleAnswerers
from askd.config import Settings
from askd.errors import LoadError, SpecError
from askd.models import Answerer

AnswererFactory = Callable[[str, Settings], Answerer | None]
"""Returns the answerer for a spec, or None if the spec does not have the shape of this kind."""

_DOTTED_NAME: Final = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_FILE_SPEC: Final = re.compile(rf"(?P<file>.+\.py)(:({_DOTTED_NAME}|\*))?")
_MODULE_SPEC: Final = re.compile(rf"(?P<module>{_DOTTED_NAME}):({_DOTTED_NAME}|\*)")
_ALL_OBJECTS_SPEC: Final = re.compile(rf"(?P<location>.+\.py|{_DOTTED_NAME}):\*")
_PROJECT_SPEC: Final = re.compile(r"(.*/)?langgraph\.json(#.*)?|.+\.json#.*", re.DOTALL)
_REMOTE_SPEC: Final = re.compile(r"(ask\+)?https?://", re.IGNORECASE)


class NamedAnswerers(NamedTuple):
    """The answerers of a server, not loaded yet."""

    answerers: Mapping[str, Answerer]
    """By their names in `/ask/NAME`. The name of a single one is empty if its spec names no others."""
    default: str | None
    """Name of the one that answers at `/ask`; None if none does."""
    names_are_known: bool = True
    """False if the module of `main.py:*` could not be imported; the load of the answerer fails then."""


def create_answerers(settings: Settings) -> NamedAnswerers:
    """Return the answerers that `settings.answerer` names: the graphs of a project, the functions of a module, or one.

    The functions of `main.py:*` are known only after the import, which this function waits for.

    Raises:
        SpecError: The spec names no answerer, or `settings.graph` is not one of them.
    """
    spec = settings.answerer or ""
    if match := _ALL_OBJECTS_SPEC.fullmatch(spec):
        return _create_answerers_of_module(match["location"], settings)
    if _PROJECT_SPEC.fullmatch(spec):
        from askd.answerers.graph.project import list_graphs  # noqa: PLC0415 only projects need it

        names = list_graphs(spec)
        if len(names) == 1:
            return NamedAnswerers({names[0]: create_answerer(settings)}, _choose_default(names, names[0], settings))
        if names:
            return _create_named({name: f"{spec}#{name}" for name in names}, None, settings)
    if settings.graph is not None:
        raise SpecError(f"--graph={settings.graph} requires several answerers: use langgraph.json or main.py:*")
    return NamedAnswerers({"": create_answerer(settings)}, "")


def _create_answerers_of_module(location: str, settings: Settings) -> NamedAnswerers:
    from askd.answerers.user_code.answerer import accepts_question  # noqa: PLC0415 only code needs it
    from askd.answerers.user_code.user_module import UserModule  # noqa: PLC0415 as above

    if location.endswith(".py") and not Path(location).is_file():
        raise SpecError(spec_not_found_message(f"{location}:*"))
    user_module = UserModule(f"{location}:*", accepts_question)
    try:
        names, preferred = _list_in_process(location) if settings.processes else user_module.list_answerers()
        return _create_named({name: f"{location}:{name}" for name in names}, preferred, settings)
    except LoadError:  # `load` imports it again, and reports the error where all errors of code are reported
        return NamedAnswerers({"": create_answerer(settings)}, "", names_are_known=False)
    finally:
        user_module.release()


def _list_in_process(location: str) -> ModuleAnswerers:
    from askd.answerers.worker_processes import list_answerers  # noqa: PLC0415 only used if configured

    return list_answerers.list_answerers_in_process(location)


def _create_named(specs: Mapping[str, str], preferred: str | None, settings: Settings) -> NamedAnswerers:
    names = [*specs]
    answerers = {
        name: create_answerer(dataclasses.replace(settings, answerer=spec, graph=None)) for name, spec in specs.items()
    }
    only = names[0] if len(names) == 1 else None
    return NamedAnswerers(answerers, _choose_default(names, preferred or only, settings))


def _choose_default(names: Sequence[str], preferred: str | None, settings: Settings) -> str | None:
    if settings.graph is None or settings.graph in names:
        return settings.graph or preferred
    similar = difflib.get_close_matches(settings.graph, names, n=1)
    hint = f"did you mean {similar[0]}? It contains" if similar else "choose one of"
    raise SpecError(f"--graph={settings.graph} is not in {settings.answerer}: {hint} {', '.join(names)}")


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
    if settings.processes:
        return _create_worker_process_answerer(spec, settings, "graph")
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
    if settings.processes:
        return _create_worker_process_answerer(spec, settings, "code")
    from askd.answerers.user_code.answerer import UserCodeAnswerer  # noqa: PLC0415 only code needs it

    return UserCodeAnswerer(spec, settings)


def _create_worker_process_answerer(spec: str, settings: Settings, kind: str) -> Answerer:
    from askd.answerers.worker_processes.answerer import WorkerProcessAnswerer  # noqa: PLC0415 only used if configured

    return WorkerProcessAnswerer(spec, settings, kind=kind)


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
