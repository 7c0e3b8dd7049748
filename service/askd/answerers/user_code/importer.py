"""Import the user's module and resolve the object that the spec names. Runs in a thread, because imports may be slow.

The folder of a file and the current directory are importable. They are appended to `sys.path`, so that the user's files
never hide the standard library or an installed package, and so the module of a file gets another name if its own is
taken. A file with relative imports is imported as part of its package.
"""

import contextlib
import dataclasses
import difflib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from askd.answerers.user_code import exceptions
from askd.answerers.user_code.candidates import (
    AcceptsQuestion,
    accepts_anything,
    find_candidates,
    find_web_app,
    is_standalone_graph,
    is_unlikely_factory,
)
from askd.errors import LoadError

_RELATIVE_IMPORT: Final = re.compile(r"^[ \t]*from[ \t]+\.", re.MULTILINE)


_MAX_LISTED_NAMES: Final = 8


@dataclasses.dataclass(frozen=True)
class ResolvedTarget:
    """The imported module and the object in it that answers."""

    module: ModuleType
    value: Any
    name: str
    """Name of the object in messages: the complete spec."""
    root: Path
    """Everything below is the user's own code: the folder of the file or of the top-level package; for an installed
    package, only that package."""


class _PathLoader(importlib.machinery.SourceFileLoader):
    """Marks modules that were imported from a path: another file of the same name may replace them."""


def resolve_target(spec: str, accepts_question: AcceptsQuestion = accepts_anything) -> ResolvedTarget:
    """Import the module and return the object that `spec` names.

    Args:
        spec: `package.module:attr`, `file.py:attr`, or `file.py` for the only object that can answer.
        accepts_question: Decides which functions of a file can answer.

    Raises:
        LoadError: The module cannot be imported, or does not contain the object.
    """
    location, attribute = split_spec(spec)
    is_file = location.endswith(".py")
    module = _import(location)
    attribute = attribute or _choose_candidate(module, location, accepts_question)
    file = Path(getattr(module, "__file__", None) or Path.cwd() / "-")
    root = _package_root(file) or file.parent if is_file else _source_root(module.__name__, file)
    return ResolvedTarget(module, _get_attribute(module, attribute, location, root), f"{location}:{attribute}", root)


def split_spec(spec: str) -> tuple[str, str]:
    """Return the file or module of a spec, and the name of the object in it; empty if the spec is a file."""
    location, _, attribute = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    return location, attribute


class ModuleAnswerers(NamedTuple):
    """The objects of a module that can answer."""

    names: list[str]
    preferred: str | None
    """The one that is named `answer` or like the file; None if there is none."""


def list_answerers(location: str, accepts_question: AcceptsQuestion = accepts_anything) -> ModuleAnswerers:
    """Import a file or module, and return the objects in it that can answer. Raises LoadError if there are none."""
    module = _import(location)
    members = vars(module)
    candidates = find_candidates(members, module.__name__, accepts_question)
    names = [name for name in candidates if not is_unlikely_factory(name, members[name])]
    preferred = _preferred_name(names, location)
    if not preferred and not any(is_standalone_graph(members[name]) for name in names):
        preferred = _find_named_object(members, location, accepts_question)
        if preferred and preferred not in names:
            names.append(preferred)
    if not names:
        raise LoadError(_no_answerer_message(members, location, candidates))
    return ModuleAnswerers(names, preferred)


def _import(location: str) -> ModuleType:
    importlib.invalidate_caches()
    if location.endswith(".py"):
        return _import_file(Path(os.path.abspath(location)))  # noqa: PTH100 resolve() follows symlinks, but the folder of the link counts
    return _import_module(location)


def _source_root(name: str, file: Path) -> Path:
    depth = name.count(".") + (file.name == "__init__.py")
    folder = file.parents[min(depth, len(file.parents) - 1)]
    if not exceptions.is_in_site_packages(folder):
        return folder
    return folder / name.partition(".")[0] if depth else file


def _package_root(path: Path) -> Path | None:
    """Return the folder that contains the file's top-level package, or None if its folder is no package."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return None if folder == path.parent else folder


def _append_sys_path(*folders: Path) -> None:
    sys.path.extend(str(folder) for folder in folders if str(folder) not in sys.path)


def _import_file(path: Path) -> ModuleType:
    package_root = _package_root(path)
    _append_sys_path(*([package_root] if package_root else []), path.parent, Path.cwd())
    if _has_relative_imports(path):
        root = package_root or path.parent.parent
        _append_sys_path(root)
        return _import_module(".".join(path.relative_to(root).with_suffix("").parts))
    name = _free_module_name(path)
    existing = sys.modules.get(name)
    if existing is not None and getattr(existing, "__file__", None) == str(path):
        return existing
    spec = importlib.util.spec_from_file_location(name, path, loader=_PathLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} cannot be imported: it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before its code runs, because dataclasses and pickle look it up
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # SystemExit too: a script without a main guard must not end the server
        sys.modules.pop(name, None)
        root = package_root or path.parent
        raise LoadError(exceptions.import_error_message(error, subject=path.name, root=root)) from error
    return module


def _has_relative_imports(path: Path) -> bool:
    try:
        return _RELATIVE_IMPORT.search(path.read_text(encoding="utf-8")) is not None
    except (OSError, ValueError):  # the import reports it
        return False


def _free_module_name(path: Path) -> str:
    """Return the name of the file, or a longer one if that is the name of another module or of the file's folder."""
    name = path.stem.replace(".", "_")
    return name if path.parent.name != name and _is_free(name, path) else f"_{name}_file"


def _is_free(name: str, path: Path) -> bool:
    if name in sys.stdlib_module_names:
        return False
    existing = sys.modules.get(name)
    if existing is not None:
        return isinstance(getattr(existing.__spec__, "loader", None), _PathLoader)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is None or spec.origin == str(path) or (spec.origin is None and not spec.has_location)


def _import_module(name: str) -> ModuleType:
    _append_sys_path(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise LoadError(exceptions.missing_module_message(name, error.name)) from error
        raise LoadError(_module_import_error_message(error, name)) from error
    except BaseException as error:  # SystemExit too: a script without a main guard must not end the server
        raise LoadError(_module_import_error_message(error, name)) from error


def _module_import_error_message(error: BaseException, name: str) -> str:
    """Locate the top-level package first: frames in it are the user's own, wherever it is installed."""
    top = name.partition(".")[0]
    spec = None
    with contextlib.suppress(ValueError):  # a module in `sys.modules` without a spec
        spec = importlib.util.find_spec(top)
    root = _source_root(top, Path(spec.origin)) if spec and spec.origin else Path.cwd()
    return exceptions.import_error_message(error, subject=name, root=root)


def _find_named_object(members: Mapping[str, Any], location: str, accepts_question: AcceptsQuestion) -> str | None:
    """Return the name of an object of any class, such as a DSPy module, that is named `answer` or like the file.

    Unlike those of functions, names must be equal: `Answer` may be an alias of a type.
    """
    for name in ("answer", _module_stem(location)):
        value = members.get(name)
        if not (value is None or inspect.isclass(value) or inspect.isroutine(value)) and accepts_question(value):
            return name
    return None


def _no_answerer_message(members: Mapping[str, Any], location: str, functions: Sequence[str]) -> str:
    """Return why no object can answer; `functions` take no argument."""
    if app := find_web_app(members):
        return _web_app_message(location, app)
    if functions:
        name = functions[0]
        return (
            f"no function in {location} can answer: {name} takes no argument. Add one for the text, as in "
            f"`def {name}(text: str) -> str`, or name {location}:{name} if it returns a graph"
        )
    return f"no function in {location} can answer: write `def answer(text: str) -> str`"


def _web_app_message(location: str, app: str) -> str:
    return (
        f"{location} is a web application, `{app}`, which an ASGI or WSGI server serves: to serve one of its "
        f"functions with askd, name it, as in {location}:FUNCTION"
    )


def _choose_candidate(module: ModuleType, location: str, accepts_question: AcceptsQuestion) -> str:
    """Return the only object that can answer, or the one that is named `answer` or like the file."""
    names, preferred = list_answerers(location, accepts_question)
    if preferred:
        return preferred
    members = vars(module)
    # The functions of a web application are its handlers, such as the one for errors.
    has_functions = any(inspect.isroutine(members[name]) for name in names)
    if has_functions and "main" not in names and (app := find_web_app(members)):
        raise LoadError(_web_app_message(location, app))
    if len(names) == 1:
        return names[0]
    choices = ", ".join(f"{location}:{name}{_describe_parameters(members[name])}" for name in names[:_MAX_LISTED_NAMES])
    more = ", …" if len(names) > _MAX_LISTED_NAMES else ""
    raise LoadError(
        f"{location} has {len(names)} objects that can answer: choose one of {choices}{more}, or serve all with "
        f"{location}:*"
    )


def _preferred_name(names: Sequence[str], location: str) -> str | None:
    for preferred in ("answer", _plain_name(_module_stem(location))):
        similar = [name for name in names if _plain_name(name) == preferred]
        if len(similar) == 1:
            return similar[0]
    return None


def _module_stem(location: str) -> str:
    return location.removesuffix(".py").rpartition("/")[2].rpartition(".")[2]


def _plain_name(name: str) -> str:
    return name.replace("_", "").lower()


def _describe_parameters(value: Any) -> str:
    """Return the names of the parameters, such as `(text, lang)`; empty if they are unknown."""
    with contextlib.suppress(TypeError, ValueError):
        return f"({', '.join(inspect.signature(value).parameters)})" if not inspect.isclass(value) else ""
    return ""


def _get_attribute(module: ModuleType, dotted_name: str, location: str, root: Path) -> Any:
    value: Any = module
    owner = location
    for name in dotted_name.split("."):
        _check_bound(value, name, owner)
        try:
            value, owner = getattr(value, name), f"{owner}:{name}" if owner == location else f"{owner}.{name}"
        except AttributeError:
            raise LoadError(f"{owner} does not contain {name!r}{_alternatives_hint(value, name)}") from None
        except Exception as error:  # properties and a module's __getattr__ are the user's code too
            raise LoadError(exceptions.call_error_message(error, subject=f"{owner}.{name}", root=root)) from error
    return value


def _check_bound(owner: Any, name: str, owner_name: str) -> None:
    """Raise LoadError for a method of a class, which would get the question as `self`."""
    if inspect.isclass(owner) and inspect.isfunction(inspect.getattr_static(owner, name, None)):
        variable = owner.__name__.lower()
        raise LoadError(
            f"{owner_name}.{name} is a method of a class, not of an object: add `{variable} = {owner.__name__}()` and "
            f"name {variable}.{name}, or name the class if it has a `__call__`"
        )


def _alternatives_hint(owner: object, name: str) -> str:
    """List the owner's callables, the most similar name first."""
    members = {member: inspect.getattr_static(owner, member) for member in dir(owner) if not member.startswith("_")}
    names = find_candidates(members, owner.__name__, accepts_anything) if isinstance(owner, ModuleType) else []
    names = names or [member for member, value in members.items() if callable(value)]
    names.sort(key=lambda member: -difflib.SequenceMatcher(None, member.lower(), name.lower()).ratio())
    shown = ", ".join(names[:_MAX_LISTED_NAMES]) + (", …" if len(names) > _MAX_LISTED_NAMES else "")
    return f": it contains {shown}" if names else " or anything else that can be called"
