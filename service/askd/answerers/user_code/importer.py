"""Import the user's module and find what its spec names. Runs in a thread: an import may take long.

A file is imported as `python file.py` would see it: its folder leads `sys.path`, the current directory stays, its
module is called as the file is. Of `package.module` the current directory is importable, as with `python -m`.
"""

import contextlib
import dataclasses
import difflib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from service.answerers import faults
from service.answerers.candidates import candidates
from service.errors import LoadError


@dataclasses.dataclass(frozen=True)
class Found:
    """The module, the object in it that answers, and where the user's own code lies."""

    module: ModuleType
    value: Any
    name: str
    """What to call the object in messages: the spec, completed."""
    root: Path
    """Below this all code is the user's own: the folder of the file, or that which holds the top package; among
    installed packages, this one alone."""


class _Loader(importlib.machinery.SourceFileLoader):
    """Marks the modules that were imported by their path, which another file of that name may replace."""


def find(spec: str) -> Found:
    """Import what `spec` names and return it. Raises LoadError for whatever is wrong with the user's code."""
    place, _, attribute = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    importlib.invalidate_caches()
    by_path = place.endswith(".py")
    module = _import_file(Path(os.path.abspath(place))) if by_path else _import_module(place)  # noqa: PTH100 resolve() follows links, and the folder of the link is the one that counts
    attribute = attribute or _only_candidate(module, place)
    file = Path(getattr(module, "__file__", None) or Path.cwd() / "-")
    root = file.parent if by_path else _root(module.__name__, file)
    return Found(module, _attribute(module, attribute, place, root), f"{place}:{attribute}", root)


def _root(name: str, file: Path) -> Path:
    depth = name.count(".") + (file.name == "__init__.py")
    folder = file.parents[min(depth, len(file.parents) - 1)]
    if not faults.is_installed(folder):
        return folder
    return folder / name.partition(".")[0] if depth else file


def _lead_path(folder: str) -> None:
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)


def _import_file(path: Path) -> ModuleType:
    name = path.stem.replace(".", "_")
    present = sys.modules.get(name)
    if present is not None and getattr(present, "__file__", None) == str(path):
        return present
    _check_name(name, path, present)
    _lead_path(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path)))
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} cannot be imported: it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before its code runs: dataclasses and pickle look it up
    try:
        spec.loader.exec_module(module)
    except BaseException as fault:  # SystemExit too: a script without a guard must not end the server
        sys.modules.pop(name, None)
        raise LoadError(faults.import_failed(fault, what=path.name, root=path.parent)) from fault
    return module


def _check_name(name: str, path: Path, present: ModuleType | None) -> None:
    ours = present is None or isinstance(getattr(present.__spec__, "loader", None), _Loader)
    if name in sys.stdlib_module_names:
        raise LoadError(f"{path.name} is called like a module of Python itself, which others import: rename the file")
    if not ours:
        raise LoadError(
            f"{path.name} is called like the module {name}, which is imported already from "
            f"{getattr(present, '__file__', None) or 'elsewhere'}: rename the file"
        )


def _import_module(name: str) -> ModuleType:
    _lead_path(str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as fault:
        if fault.name and f"{name}.".startswith(f"{fault.name}."):
            raise LoadError(faults.no_module(name, fault.name)) from fault
        raise LoadError(_failed(fault, name)) from fault
    except BaseException as fault:  # SystemExit too: a script without a guard must not end the server
        raise LoadError(_failed(fault, name)) from fault


def _failed(fault: BaseException, name: str) -> str:
    """The top package's place tells the user's own frames, wherever it is installed."""
    top = name.partition(".")[0]
    spec = None
    with contextlib.suppress(ValueError):  # a module in `sys.modules` that has no spec
        spec = importlib.util.find_spec(top)
    root = _root(top, Path(spec.origin)) if spec and spec.origin else Path.cwd()
    return faults.import_failed(fault, what=name, root=root)


def _only_candidate(module: ModuleType, place: str) -> str:
    found = candidates(vars(module), module.__name__)
    if len(found) == 1:
        return found[0]
    if not found:
        raise LoadError(f"{place} has no function that could answer: write `def answer(text: str) -> str`")
    choices = ", ".join(f"{place}:{each}" for each in found)
    raise LoadError(f"{place} has {len(found)} that could answer: name one of {choices}")


def _attribute(module: ModuleType, dotted: str, place: str, root: Path) -> Any:
    value: Any = module
    owner = place
    for name in dotted.split("."):
        try:
            value, owner = getattr(value, name), f"{owner}:{name}" if owner == place else f"{owner}.{name}"
        except AttributeError:
            raise LoadError(f"{owner} has no {name!r}{_instead(value, name)}") from None
        except Exception as fault:  # a property, or a module's __getattr__, is the user's code too
            raise LoadError(faults.call_failed(fault, what=f"{owner}.{name}", root=root)) from fault
    return value


def _instead(holder: object, name: str) -> str:
    """What the holder has of its own that can be called, the nearest name first, at most eight."""
    members = {each: inspect.getattr_static(holder, each) for each in dir(holder) if not each.startswith("_")}
    names = candidates(members, holder.__name__) if isinstance(holder, ModuleType) else []
    names = names or [each for each, value in members.items() if callable(value)]
    names.sort(key=lambda each: -difflib.SequenceMatcher(None, each.lower(), name.lower()).ratio())
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f": it has {shown}" if names else ", nor anything else that can be called"
