"""Import the user's module and resolve the object that the spec names. Runs in a thread, because imports may be slow.

A file is imported as `python file.py` would run it: its folder is first in `sys.path`, the current directory stays
unchanged, and the module has the file's name. For `package.module`, the current directory is importable, as with
`python -m`.
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
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from askd.answerers.user_code import exceptions
from askd.errors import LoadError

_HOOK_NAMES: Final = frozenset({"startup", "shutdown", "ready"})
_FACTORY_PARAMETERS: Final = frozenset({"config", "runtime"})
_NON_GRAPH_ANNOTATIONS: Final = frozenset({"str", "dict", "Question", "None"})
"""Annotations of `config` or of the return value that rule out a graph factory."""


def find_candidates(members: Mapping[str, Any], module: str) -> list[str]:
    """Return the names of the public objects that can answer and are defined in this module, except hooks.

    If there are graphs, only these: the functions next to them are their nodes.
    """
    public = {name: value for name, value in members.items() if not name.startswith("_") and name not in _HOOK_NAMES}
    graphs = [name for name, value in public.items() if is_graph(value) and _is_stateful(value)]
    return graphs or [
        name for name, value in public.items() if _defining_module(value) == module and _can_answer(value)
    ]


def has_callable_instances(cls: type) -> bool:
    """Return whether instances of the class can be called."""
    return any("__call__" in base.__dict__ for base in cls.__mro__)


def is_graph(value: object) -> bool:
    """Return whether the object is a compiled graph, rather than a class of graphs or a builder."""
    return not inspect.isclass(value) and callable(getattr(value, "ainvoke", None))


def is_graph_builder(value: object) -> bool:
    """Return whether the object is a graph that is not compiled yet."""
    return not inspect.isclass(value) and all(callable(getattr(value, name, None)) for name in ("add_node", "compile"))


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


def _is_stateful(value: object) -> bool:
    """Return False for chat models and chains, which have `ainvoke` as well."""
    return hasattr(value, "aget_state") or not hasattr(value, "abatch")


def _can_answer(value: object) -> bool:
    return has_callable_instances(value) if inspect.isclass(value) else callable(value)


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


def resolve_target(spec: str) -> ResolvedTarget:
    """Import the module and return the object that `spec` names.

    Raises:
        LoadError: The module cannot be imported, or does not contain the object.
    """
    location, _, attribute = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    importlib.invalidate_caches()
    is_file = location.endswith(".py")
    module = _import_file(Path(os.path.abspath(location))) if is_file else _import_module(location)  # noqa: PTH100 resolve() follows symlinks, but the folder of the link counts
    attribute = attribute or _find_only_candidate(module, location)
    file = Path(getattr(module, "__file__", None) or Path.cwd() / "-")
    root = file.parent if is_file else _source_root(module.__name__, file)
    return ResolvedTarget(module, _get_attribute(module, attribute, location, root), f"{location}:{attribute}", root)


def _source_root(name: str, file: Path) -> Path:
    depth = name.count(".") + (file.name == "__init__.py")
    folder = file.parents[min(depth, len(file.parents) - 1)]
    if not exceptions.is_in_site_packages(folder):
        return folder
    return folder / name.partition(".")[0] if depth else file


def _prepend_sys_path(folder: str) -> None:
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)


def _import_file(path: Path) -> ModuleType:
    name = path.stem.replace(".", "_")
    existing = sys.modules.get(name)
    if existing is not None and getattr(existing, "__file__", None) == str(path):
        return existing
    _check_module_name(name, path, existing)
    _prepend_sys_path(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path, loader=_PathLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} cannot be imported: it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before its code runs, because dataclasses and pickle look it up
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # SystemExit too: a script without a main guard must not end the server
        sys.modules.pop(name, None)
        raise LoadError(exceptions.import_error_message(error, subject=path.name, root=path.parent)) from error
    return module


def _check_module_name(name: str, path: Path, existing: ModuleType | None) -> None:
    if name in sys.stdlib_module_names:
        raise LoadError(f"{path.name} has the name of a standard library module and would hide it: rename the file")
    if existing is not None and not isinstance(getattr(existing.__spec__, "loader", None), _PathLoader):
        raise LoadError(
            f"{path.name} has the name of the module {name}, which is already imported from "
            f"{getattr(existing, '__file__', None) or 'elsewhere'}: rename the file"
        )


def _import_module(name: str) -> ModuleType:
    _prepend_sys_path(str(Path.cwd()))
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


def _find_only_candidate(module: ModuleType, location: str) -> str:
    names = find_candidates(vars(module), module.__name__)
    if len(names) == 1:
        return names[0]
    if not names:
        raise LoadError(f"no function in {location} can answer: write `def answer(text: str) -> str`")
    choices = ", ".join(f"{location}:{name}" for name in names)
    raise LoadError(f"{location} has {len(names)} objects that can answer: choose one of {choices}")


def _get_attribute(module: ModuleType, dotted_name: str, location: str, root: Path) -> Any:
    value: Any = module
    owner = location
    for name in dotted_name.split("."):
        try:
            value, owner = getattr(value, name), f"{owner}:{name}" if owner == location else f"{owner}.{name}"
        except AttributeError:
            raise LoadError(f"{owner} does not contain {name!r}{_alternatives_hint(value, name)}") from None
        except Exception as error:  # properties and a module's __getattr__ are the user's code too
            raise LoadError(exceptions.call_error_message(error, subject=f"{owner}.{name}", root=root)) from error
    return value


def _alternatives_hint(owner: object, name: str) -> str:
    """List the owner's callables, the most similar name first."""
    members = {member: inspect.getattr_static(owner, member) for member in dir(owner) if not member.startswith("_")}
    names = find_candidates(members, owner.__name__) if isinstance(owner, ModuleType) else []
    names = names or [member for member, value in members.items() if callable(value)]
    names.sort(key=lambda member: -difflib.SequenceMatcher(None, member.lower(), name.lower()).ratio())
    shown = ", ".join(names[:_MAX_LISTED_NAMES]) + (", …" if len(names) > _MAX_LISTED_NAMES else "")
    return f": it contains {shown}" if names else " or anything else that can be called"
