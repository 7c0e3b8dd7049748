"""Kinds of answerers that installed packages add: the entry points of the group `askd.answerers`, by their names.

Only the one that a spec names is imported. docs/answerers.md is the manual for those who write one.
"""

import importlib.util
import re
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from service.answerers import faults
from service.errors import SpecError, StartupError
from service.models import Answerer
from service.settings import Settings

GROUP: Final = "askd.answerers"
_SHAPE: Final = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_+-]*):(?P<rest>.*)", re.DOTALL)


def installed(spec: str, settings: Settings) -> Answerer | None:
    """Return the answerer for `name:…` or `name://…` from the package that adds the kind `name`.

    None: no package adds it, or its factory leaves the spec to others. Raises SpecError where only a kind of that name
    could serve the spec, and where the package's code fails.
    """
    shape = _SHAPE.fullmatch(spec)
    entry = _entry(shape["name"]) if shape else None
    answerer = _made(entry, spec, settings) if entry else None
    if answerer is None and shape and shape["rest"].startswith("//"):
        raise SpecError(f"{spec!r} names no answerer: {_refused(entry) if entry else _unknown(shape['name'])}")
    return answerer


def _entry(name: str) -> EntryPoint | None:
    """Raises SpecError where several packages add a kind of this name: which is meant cannot be known."""
    found = list(entry_points(group=GROUP, name=name))
    if len({entry.value for entry in found}) > 1:
        packages = " and ".join(sorted(_package(entry) for entry in found))
        raise SpecError(f"the kind {name!r} is added by {packages}: uninstall all but one")
    return found[0] if found else None


def _made(entry: EntryPoint, spec: str, settings: Settings) -> Answerer | None:
    try:
        answerer = entry.load()(spec, settings)
    except StartupError:
        raise
    except BaseException as fault:  # SystemExit too: it is others' code
        what = f"The kind {entry.name!r} of {_package(entry)}"
        raise SpecError(faults.call_failed(fault, what=what, root=_root(entry))) from fault
    return None if answerer is None else _checked(answerer, f"the kind {entry.name!r} of {_package(entry)}")


def _checked(made: Any, maker: str) -> Answerer:
    """Members that a later version of askd adds have defaults, which only subclasses get."""
    if Answerer not in type(made).__mro__:
        raise SpecError(f"{maker} made a {type(made).__name__}: make a subclass of service.models.Answerer")
    missing = [name for name in ("kind", "name") if not isinstance(getattr(made, name, None), str)]
    missing += ["answer"] if type(made).answer is Answerer.answer else []
    if missing:
        raise SpecError(f"{maker} made a {type(made).__name__} without {', '.join(missing)}: see docs/answerers.md")
    answerer: Answerer = made
    return answerer


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module


def _root(entry: EntryPoint) -> Path:
    """Return the folder of the entry point's top package, or its one file: the frames to show are those in it."""
    try:
        found = importlib.util.find_spec(entry.module.partition(".")[0])
    except (ImportError, ValueError):
        found = None
    if found is None or not found.origin:
        return Path.cwd()
    return Path(found.origin).parent if found.submodule_search_locations else Path(found.origin)


def _refused(entry: EntryPoint) -> str:
    return f"the kind {entry.name!r} of {_package(entry)} does not take it"


def _unknown(name: str) -> str:
    known = sorted({entry.name for entry in entry_points(group=GROUP)})
    there = f"those installed add {', '.join(known)}" if known else "none is installed"
    return (
        f"no package adds the kind {name!r} ({there}). Servers are asked at http://, https://, ask+http:// or "
        f"ask+https://; see docs/answerers.md for kinds of your own"
    )
