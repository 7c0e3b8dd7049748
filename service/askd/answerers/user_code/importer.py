"""Import the user's module and resolve the object that the spec names. Runs in a thread, because imports may be slow.

The folder of a file and the current directory are importable. They are appended to `sys.path`, so that the user's files
never hide the standard library or an installed package, and so the module of a file gets another name if its own is
taken. A file with relative imports is imported as part of its package.
"""

import contextlib
import dataclasses
import difflib
import functools
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from askd.answerers.user_code import exceptions
from askd.errors import LoadError

ANSWER_METHODS: Final = ("__call__", "answer", "predict")
"""Methods of an object that answer, in this order."""
_HOOK_NAMES: Final = frozenset({"startup", "shutdown", "ready"})
_FACTORY_PARAMETERS: Final = frozenset({"config", "runtime"})
_RELATIVE_IMPORT: Final = re.compile(r"^[ \t]*from[ \t]+\.", re.MULTILINE)
_NON_GRAPH_ANNOTATIONS: Final = frozenset({"str", "dict", "Question", "None"})
"""Annotations of `config` or of the return value that rule out a graph factory."""


AcceptsQuestion = Callable[[object], bool]
"""Returns whether a question can be passed to a callable that is no class."""


def _accepts_anything(_: object) -> bool:
    return True


def find_candidates(members: Mapping[str, Any], module: str, accepts_question: AcceptsQuestion) -> list[str]:
    """Return the names of the public objects that can answer and are defined in this module, except hooks.

    If there are graphs, only these: the functions next to them are their nodes. Functions that a question cannot be
    passed to count only if there is nothing else: they may be graph factories.
    """
    public = {name: value for name, value in members.items() if not name.startswith("_") and name not in _HOOK_NAMES}
    if graphs := [name for name, value in public.items() if _is_standalone_graph(value)]:
        return graphs
    callables = {name: value for name, value in public.items() if _is_own_callable(value, module)}
    usable = [name for name, value in callables.items() if inspect.isclass(value) or accepts_question(value)]
    return usable or list(callables)


def has_callable_instances(cls: type) -> bool:
    """Return whether instances of the class can be called, or have one of ANSWER_METHODS."""
    return any(inspect.isroutine(base.__dict__.get(name)) for base in cls.__mro__ for name in ANSWER_METHODS)


def is_graph(value: object) -> bool:
    """Return whether the object is a compiled graph, rather than a class of graphs or a builder."""
    return not inspect.isclass(value) and _has_methods(value, "ainvoke")


def is_graph_builder(value: object) -> bool:
    """Return whether the object is a graph that is not compiled yet."""
    return not inspect.isclass(value) and _has_methods(value, "add_node", "compile")


def _has_methods(value: object, *names: str) -> bool:
    try:
        return all(callable(getattr(value, name, None)) for name in names)
    except Exception:  # proxies such as flask.request raise outside of a request
        return False


def is_graph_factory(value: object) -> bool:
    """Return whether the object is probably a graph factory: it takes no text, but nothing, `config` or `runtime`."""
    if inspect.isclass(value):
        return callable(getattr(value, "ainvoke", None))
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type] # an object that is not callable is a TypeError
    except (TypeError, ValueError):
        return False
    if _rules_out_graph(signature.return_annotation):
        return False
    return all(
        parameter.name in _FACTORY_PARAMETERS and not _rules_out_graph(parameter.annotation)
        for parameter in signature.parameters.values()
    )


def _rules_out_graph(annotation: Any) -> bool:
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return name in _NON_GRAPH_ANNOTATIONS


def is_chain(value: object) -> bool:
    """Return whether the object is a chat model or a chain, which have `ainvoke` as graphs do, but no state."""
    return is_graph(value) and _has_methods(value, "abatch") and not _has_methods(value, "aget_state")


def _is_standalone_graph(value: object) -> bool:
    return is_graph(value) and not is_chain(value)


def _is_own_callable(value: object, module: str) -> bool:
    try:
        if inspect.isclass(value):
            return value.__module__ == module and has_callable_instances(value)
        return (callable(value) and _defining_module(value) == module) or is_chain(value)
    except Exception:  # proxies such as flask.request raise outside of a request
        return False


def _defining_module(value: object) -> object:
    while isinstance(value, functools.partial):
        value = value.func
    return getattr(value, "__module__", None)


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


def resolve_target(spec: str, accepts_question: AcceptsQuestion = _accepts_anything) -> ResolvedTarget:
    """Import the module and return the object that `spec` names.

    Args:
        spec: `package.module:attr`, `file.py:attr`, or `file.py` for the only object that can answer.
        accepts_question: Decides which functions of a file can answer.

    Raises:
        LoadError: The module cannot be imported, or does not contain the object.
    """
    location, _, attribute = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    importlib.invalidate_caches()
    is_file = location.endswith(".py")
    module = _import_file(Path(os.path.abspath(location))) if is_file else _import_module(location)  # noqa: PTH100 resolve() follows symlinks, but the folder of the link counts
    attribute = attribute or _choose_candidate(module, location, accepts_question)
    file = Path(getattr(module, "__file__", None) or Path.cwd() / "-")
    root = _package_root(file) or file.parent if is_file else _source_root(module.__name__, file)
    return ResolvedTarget(module, _get_attribute(module, attribute, location, root), f"{location}:{attribute}", root)


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


def _choose_candidate(module: ModuleType, location: str, accepts_question: AcceptsQuestion) -> str:
    """Return the only object that can answer, or the one that is named `answer` or like the file."""
    members = vars(module)
    names = find_candidates(members, module.__name__, accepts_question)
    if len(names) == 1:
        return names[0]
    if not names:
        raise LoadError(f"no function in {location} can answer: write `def answer(text: str) -> str`")
    stem = _plain_name(location.removesuffix(".py").rpartition("/")[2].rpartition(".")[2])
    for preferred in ("answer", stem):
        similar = [name for name in names if _plain_name(name) == preferred]
        if len(similar) == 1:
            return similar[0]
    choices = ", ".join(f"{location}:{name}{_describe_parameters(members[name])}" for name in names[:_MAX_LISTED_NAMES])
    more = ", …" if len(names) > _MAX_LISTED_NAMES else ""
    raise LoadError(f"{location} has {len(names)} objects that can answer: choose one of {choices}{more}")


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
    names = find_candidates(members, owner.__name__, _accepts_anything) if isinstance(owner, ModuleType) else []
    names = names or [member for member, value in members.items() if callable(value)]
    names.sort(key=lambda member: -difflib.SequenceMatcher(None, member.lower(), name.lower()).ratio())
    shown = ", ".join(names[:_MAX_LISTED_NAMES]) + (", …" if len(names) > _MAX_LISTED_NAMES else "")
    return f": it contains {shown}" if names else " or anything else that can be called"
