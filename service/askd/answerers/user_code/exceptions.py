"""Exceptions of the user's code: error messages for people, and HTTP exceptions translated into problems.

An error message is one line, followed by indented lines: the user's own stack frames, the exception, and a hint.

HTTP exceptions of web frameworks are recognized by the name and the package of their class, so no framework is
imported. A `status` attribute alone is not enough: exceptions of HTTP clients have one too, and an upstream server's
status must not become the client's.
"""

import contextlib
import functools
import importlib.util
import itertools
import linecache
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec

from askd.errors import AnswererFailed, Refused

_ASKD_PACKAGE_DIR: Final = Path(__file__).parents[2]
_MAX_FRAMES: Final = 5
_MAX_LINES: Final = 12
_MAX_PARENTS: Final = 3
_MAX_FOLDERS: Final = 500
"""Folders of the project that are searched for a module."""
_FRAMEWORK_ATTRIBUTES: Final = {
    "aiohttp": ("status", "text"),
    "starlette": ("status_code", "detail"),  # FastAPI's derives from it
    "werkzeug": ("code", "description"),
    "litestar": ("status_code", "detail"),
}
"""Attributes with the status and the detail of each framework's HTTPException."""
_FORWARDED_STATUSES: Final = frozenset({*range(400, 500), HTTPStatus.SERVICE_UNAVAILABLE})
_FRAME: Final = re.compile(r'^  File "(.+)", line (\d+), in (.+)$', re.MULTILINE)
"""A frame in a traceback as Python shows it: file, line, name."""
_OWN_HEADERS: Final = re.compile(
    r"content-.*|transfer-encoding|connection|keep-alive|upgrade|trailer|te|date|server|vary|x-request-id",
    re.IGNORECASE,
)
"""Headers of a response that only the server sets, because they describe its body or its connection."""
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
"""A valid header field, name and value joined by a colon (RFC 9110, sections 5.1 and 5.5)."""


def import_error_message(error: BaseException, *, subject: str, root: Path) -> str:
    """Return why the module `subject` cannot be imported. Files below `root` are the user's own."""
    return "\n  ".join([f"{subject} cannot be imported:", *_error_lines(error, root), *_hints(error, root)])


def call_error_message(error: BaseException, *, subject: str, root: Path) -> str:
    """Return why `subject` (a hook, a class or a property) failed. Files below `root` are the user's own."""
    return "\n  ".join([f"{subject} failed:", *_error_lines(error, root)])


def describe_error(error: BaseException) -> str:
    """Return the exception with the innermost line of code that is not part of a library, in one line."""
    frames = user_frames(error, Path.cwd())
    place = f"{_relative_path(frames[-1].filename)}:{frames[-1].lineno}: " if frames else ""
    return place + " ".join("".join(traceback.format_exception_only(error)).split())


def missing_module_message(name: str, missing: str) -> str:
    """Return where the user's module was searched; `missing` is the module or its first missing package."""
    message = f"{name}: cannot find the module {missing!r} in {Path.cwd()} or in the packages of {sys.executable}."
    top = missing.partition(".")[0]
    if top == _ASKD_PACKAGE_DIR.name:
        return f"{message} {_own_package_hint()}"
    if hint := _project_hint(missing, Path.cwd()):
        return f"{message}\n  {hint}"
    if top != missing:
        return f"{message} The package {missing.rpartition('.')[0]!r} exists: check the module's name."
    return f"{message}\n  Start askd in the folder that contains {top}, or {_install_hint()}{_environment_hint()}"


def user_frames(error: BaseException, root: Path) -> list[traceback.FrameSummary]:
    """Return the frames of the traceback that are in the user's own code, outermost first."""
    frames: list[traceback.FrameSummary]
    if isinstance(error, WorkerException):
        frames = [traceback.FrameSummary(file, int(line), name) for file, line, name in _FRAME.findall(error.traceback)]
    else:
        frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if is_user_file(frame.filename, root)]


class WorkerException(Exception):
    """An exception of the user's code in a worker process. `traceback` is its traceback as Python shows it."""

    traceback: str

    @classmethod
    def create(cls, name: str, text: str, traceback: str) -> "WorkerException":
        """Return an exception whose class has the name of the original one."""
        error: WorkerException = type(name, (cls,), {"__module__": "builtins"})(text)
        error.traceback = traceback
        return error


def without_own_frames(error: BaseException) -> BaseException:
    """Remove askd's frames from the start of the traceback, so that it begins at the user's line."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(_ASKD_PACKAGE_DIR):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)


def is_user_file(file: str, root: Path) -> bool:
    """Return whether a file is the user's: below `root`, or not part of askd, Python or an installed package."""
    path = Path(file)
    if not path.is_absolute() or path.is_relative_to(_ASKD_PACKAGE_DIR):
        return False
    in_library = any(path.is_relative_to(folder) for folder in _library_folders() if not root.is_relative_to(folder))
    return not in_library and (not is_in_site_packages(path) or path.is_relative_to(root))


def is_in_site_packages(path: Path) -> bool:
    """Return whether the path is in a folder of installed packages."""
    return "site-packages" in path.parts or "dist-packages" in path.parts


@functools.cache
def _library_folders() -> Sequence[str]:
    paths = sysconfig.get_paths()
    return [*{paths[name]: None for name in ("stdlib", "platstdlib", "purelib", "platlib")}]


def _error_lines(error: BaseException, root: Path) -> list[str]:
    frames = [(frame.filename, frame.lineno or 0) for frame in user_frames(error, root)[-_MAX_FRAMES:]]
    exception_lines = [line.rstrip() for part in traceback.format_exception_only(error) for line in part.splitlines()]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno or 0))
        exception_lines = [f"{type(error).__name__}: {error.msg}"]
    frame_lines = [
        f"{_relative_path(file)}:{line}: {linecache.getline(file, line).strip()}".rstrip(": ") for file, line in frames
    ]
    return [*frame_lines, *exception_lines[:_MAX_LINES]]


def _relative_path(file: str) -> str:
    with contextlib.suppress(ValueError):
        return str(Path(file).relative_to(Path.cwd()))
    return file


def _hints(error: BaseException, root: Path) -> Iterator[str]:
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top == _ASKD_PACKAGE_DIR.name:
            yield _own_package_hint()
        elif hint := _project_hint(error.name, root):
            yield hint
        elif top in sys.modules:  # a package index may have another package of this name
            place = getattr(sys.modules[top], "__file__", None) or top
            yield f"The package {top} is installed ({place}), but has no {error.name}: check the name and its version."
        else:
            yield f"askd runs in {sys.executable}: {_install_hint()}{_environment_hint()}"
    elif isinstance(error, ImportError) and error.name and (hint := _project_hint(error.name, root)):
        yield hint
    elif isinstance(error, SystemExit):
        yield 'The module exits when it is imported: move that code under `if __name__ == "__main__":`.'


def _project_hint(name: str, root: Path) -> str | None:
    """Return how to import a module of the project, or None if the project has none of this name.

    A package index may have a package of the same name, but that is another one: installing it would run foreign code.
    """
    top = name.partition(".")[0]
    found, loaded = _find_in_project(top, root), sys.modules.get(top)
    origin = getattr(loaded, "__file__", None)
    if origin is None:
        if found is None:
            return None
        shown = _relative_path(str(found))
        return f"{shown} exists, but its folder is not importable: set PYTHONPATH={found.parent}"
    if found is not None and not Path(origin).is_relative_to(found):
        return f"{_relative_path(origin)} hides {_relative_path(str(found))}: rename one of them"
    if top != name and not hasattr(loaded, "__path__"):
        return f"{_relative_path(origin)} is not a package, so it has no {name}: rename the file or the package"
    return None


def _find_in_project(name: str, root: Path) -> Path | None:
    """Return the file or the folder of a module in the folders of the code, above it or one and two levels below."""
    current = Path.cwd()
    folders = [root, *root.parents[:_MAX_PARENTS], current]
    below = (child for pattern in ("*", "*/*") for child in current.glob(pattern) if child.is_dir())
    for folder in (*folders, *itertools.islice(below, _MAX_FOLDERS)):
        for path in (folder / f"{name}.py", folder / name):
            if (path.is_file() or any(path.glob("*.py"))) and not is_in_site_packages(path):
                return path
    return None


def _own_package_hint() -> str:
    return f"`{_ASKD_PACKAGE_DIR.name}` is the server's own package: rename yours if it has the same name."


def _install_hint() -> str:
    """Return how to install a package. Its name is left to the user: a stranger may own the name of the module."""
    has_pip = importlib.util.find_spec("pip")
    install = f"{sys.executable} -m pip install" if has_pip else f"uv pip install --python {sys.executable}"
    return f"install the package that contains it: `{install} PACKAGE`"


def _environment_hint() -> str:
    """Name the active environment if askd runs in another one: pipx and uv give each tool its own environment."""
    active = os.environ.get("VIRTUAL_ENV")
    if not active or os.path.realpath(active) == os.path.realpath(sys.prefix):
        return ""
    return f".\n  The active environment is {active}: install askd into it to use its packages"


def raise_as_problem(error: BaseException) -> None:
    """Raise the problem that an HTTP exception or an exit of the user's code becomes.

    Returns for all other exceptions, above all for a cancellation: the caller raises them again.
    """
    if isinstance(error, SystemExit | KeyboardInterrupt):
        raise AnswererFailed from error  # it would end the server
    names = _attribute_names(type(error))
    if names is not None:
        raise _to_problem(error, *names) from error


def _attribute_names(cls: type[BaseException]) -> tuple[str, str] | None:
    for base in cls.__mro__:
        package = base.__module__.partition(".")[0]
        if base.__name__ == "HTTPException" and package in _FRAMEWORK_ATTRIBUTES:
            return _FRAMEWORK_ATTRIBUTES[package]
    return None


def _to_problem(error: BaseException, status_name: str, detail_name: str) -> Refused | AnswererFailed:
    """Map 4xx and 503 to Refused. Others are failures: aiohttp would send its own exceptions as a response."""
    status = getattr(error, status_name, None)
    if not isinstance(status, int) or status not in _FORWARDED_STATUSES:
        return AnswererFailed()
    refused = Refused(int(status), _detail_text(getattr(error, detail_name, None), status))
    refused.headers = _forwarded_headers(error)
    return refused


def _forwarded_headers(error: BaseException) -> dict[str, str]:
    headers = getattr(error, "headers", None)
    if headers is None and hasattr(error, "get_headers"):  # Werkzeug
        headers = dict(error.get_headers())
    if not isinstance(headers, Mapping):
        return {}
    texts = {str(name): str(value) for name, value in headers.items()}
    return {
        name: text
        for name, text in texts.items()
        if not _OWN_HEADERS.fullmatch(name) and _HEADER.fullmatch(f"{name}:{text}")
    }


def _detail_text(detail: Any, status: int) -> str:
    if isinstance(detail, str) and detail:
        return detail
    if detail:
        return msgspec.json.encode(detail, enc_hook=str).decode()
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a status without a standard phrase
        return "Refused."
