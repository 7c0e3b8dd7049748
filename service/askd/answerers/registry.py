"""From the spec string to the answerer, by the spec's shape. The user's code is not imported here, but in `load`.

`KINDS` is a table: another kind of answerer is another line. Each kind is imported only when it is the one, so that a
function does not pay for the search library at start, nor a book for anything of the function's.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from service.answerers.astray import BOOK_SUFFIXES, astray, holds_book
from service.errors import SettingsError, SpecError
from service.models import Answerer
from service.settings import Settings

Kind = Callable[[str, Settings], Answerer | None]
"""Takes the spec and the settings; returns None where the spec has not the shape of this kind."""

_OURS: Final = __name__.partition(".")[0]
_NAMES: Final = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_FILE: Final = re.compile(rf"(?P<file>.+\.py)(:{_NAMES})?")
_MODULE: Final = re.compile(rf"(?P<module>{_NAMES}):{_NAMES}")
_PROJECT: Final = re.compile(r"(.*/)?langgraph\.json(#.*)?|.+\.json#.*", re.DOTALL)
_REMOTE: Final = re.compile(r"(ask\+)?https?://", re.IGNORECASE)

BOOK_DEADLINE: Final = 10.0
"""Seconds for an answer of a book: a thousand times what a search takes."""
CODE_DEADLINE: Final = 60.0
"""Seconds for an answer of code, a graph or a server: models take their time."""
DRAIN_MARGIN: Final = 5.0
"""Seconds that a drain waits beyond the deadline, for what ran into it to be told so."""
BOOK_QUESTION_LENGTH: Final = 1000
"""Characters of a question to a book: terms are looked up, and more of them find no more."""


def resolve(settings: Settings) -> Answerer:
    """Return the answerer that `settings.answerer` names, not loaded yet; None is the built-in book.

    Raises SpecError, which names what was found instead.
    """
    spec = settings.answerer
    if spec is None:
        return _book(None)
    for kind in KINDS if spec else ():
        answerer = kind(spec, settings)
        if answerer is not None:
            return answerer
    raise SpecError(astray(spec))


def question_max_length(settings: Settings, answerer: Answerer) -> int:
    """Longest question in characters: what is set, else 1000 for a book and, for code, what the body limit allows."""
    if settings.question_max_length is not None:
        return settings.question_max_length
    return BOOK_QUESTION_LENGTH if answerer.kind == "book" else settings.body_max_size


def deadline(settings: Settings, answerer: Answerer) -> float:
    """Longest time for an answer, in seconds: what is set, else 10 for a book and 60 for everything else."""
    if settings.deadline is not None:
        return settings.deadline
    return BOOK_DEADLINE if answerer.kind == "book" else CODE_DEADLINE


def drain_timeout(settings: Settings, answerer: Answerer) -> float:
    """Longest wait for what is in flight at the end, in seconds: what is set, else the deadline and 5 more.

    Raises SettingsError where what is set would cut off questions that are within their deadline.
    """
    longest = deadline(settings, answerer)
    if settings.drain_timeout is None:
        return longest + DRAIN_MARGIN
    if settings.drain_timeout < longest:
        fault = f"--drain-timeout={settings.drain_timeout:g}s is below the deadline of {longest:g}s"
        raise SettingsError([f"{fault}, so that a drain would cut questions off: give at least that"])
    return settings.drain_timeout


def _book(path: Path | None) -> Answerer:
    from service.answerers.book import Book  # noqa: PLC0415 loads the search library, which only books need

    return Book(path)


def _as_book(spec: str, _: Settings) -> Answerer | None:
    """A file of questions and answers, or a folder with such files."""
    path = Path(spec)
    try:
        found = holds_book(path) if path.is_dir() else path.is_file() and path.suffix.lower() in BOOK_SUFFIXES
    except (OSError, ValueError):  # no access, a name too long, a NUL in it: no book, `astray` says more
        return None
    return _book(path) if found else None


def _as_project(spec: str, settings: Settings) -> Answerer | None:
    """`langgraph.json`, with `#name` where it has several graphs."""
    if not _PROJECT.fullmatch(spec):
        return None
    from service.answerers.graph.project import project  # noqa: PLC0415 only projects need what reads them

    found = project(spec)
    if found is None:
        return None
    _refuse_ours(spec, Path(found.spec.rpartition(":")[0]).stem if ".py:" in found.spec else found.spec)
    from service.answerers.graph import Graph  # noqa: PLC0415 only graphs need what understands them

    return Graph(
        spec,
        threads=settings.threads,
        deterministic=settings.deterministic,
        input_key=settings.graph_input_key,
        output_key=settings.graph_output_key,
        project=found,
    )


def _as_code(spec: str, settings: Settings) -> Answerer | None:
    """`file.py`, `file.py:attr` where the file is there, or `package.module:attr`: a function or a graph."""
    by_path, by_name = _FILE.fullmatch(spec), _MODULE.fullmatch(spec)
    if by_path and not Path(by_path["file"]).is_file():
        return None
    if not by_path and (not by_name or Path(by_name["module"]).is_file()):
        return None
    _refuse_ours(spec, Path(by_path["file"]).stem if by_path else spec)
    from service.answerers.code import Code  # noqa: PLC0415 only code needs what understands it

    return Code(spec, settings)


def _as_remote(spec: str, settings: Settings) -> Answerer | None:
    """`http(s)://host:port[#assistant]`, a LangGraph server; `ask+http(s)://host:port`, another askd."""
    if not _REMOTE.match(spec):
        return None
    from service.answerers.remote import remote  # noqa: PLC0415 loads HTTP's client, which only these need

    return remote(spec, settings)


def _as_installed(spec: str, settings: Settings) -> Answerer | None:
    """`name:…` or `name://…`, where an installed package adds the kind `name`."""
    if ":" not in spec or _REMOTE.match(spec) or _FILE.fullmatch(spec):
        return None
    from service.answerers.installed import installed  # noqa: PLC0415 looks through all installed packages

    return installed(spec, settings)


def _refuse_ours(spec: str, module: str) -> None:
    """Two packages of one name cannot be imported, and askd's is there already."""
    if re.split(r"[.:]", module)[0] == _OURS:
        raise SpecError(
            f"{spec}: `{_OURS}` is the name of askd's own package, which hides yours: give your package or file another"
        )


KINDS: Final[tuple[Kind, ...]] = (_as_project, _as_book, _as_installed, _as_code, _as_remote)
"""Asked in this order: a path that exists comes first."""
