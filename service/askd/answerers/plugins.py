"""Plugins: answerer kinds that installed packages provide as entry points of the group `askd.answerers`.

Only the package that the spec names is imported. docs/how-to/add-an-answerer.md shows how to write a plugin.
"""

import importlib.util
import re
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from askd.answerers.user_code import exceptions
from askd.config import Settings
from askd.errors import SpecError, StartupError
from askd.models import Answerer

ENTRY_POINT_GROUP: Final = "askd.answerers"
_PLUGIN_SPEC: Final = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_+-]*):(?P<rest>.*)", re.DOTALL)


def create_plugin_answerer(spec: str, settings: Settings) -> Answerer | None:
    """Return the answerer for `name:…` or `name://…` from the package that provides the kind `name`.

    Returns None if no package provides it, or if its factory declines the spec.

    Raises:
        SpecError: The spec is a URL and no plugin accepts it, or the package's code failed.
    """
    match = _PLUGIN_SPEC.fullmatch(spec)
    entry = _find_entry_point(match["name"]) if match else None
    answerer = _create_answerer(entry, spec, settings) if entry else None
    if answerer is None and match and match["rest"].startswith("//"):
        reason = _declined_message(entry) if entry else _unknown_kind_message(match["name"])
        raise SpecError(f"invalid answerer {spec!r}: {reason}")
    return answerer


def _find_entry_point(name: str) -> EntryPoint | None:
    entries = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if len({entry.value for entry in entries}) > 1:
        packages = " and ".join(sorted(_package_label(entry) for entry in entries))
        raise SpecError(f"the answerer kind {name!r} is provided by {packages}: uninstall all but one")
    return entries[0] if entries else None


def _create_answerer(entry: EntryPoint, spec: str, settings: Settings) -> Answerer | None:
    try:
        answerer = entry.load()(spec, settings)
    except StartupError:
        raise
    except BaseException as error:  # SystemExit too: this is third-party code
        subject = f"The answerer kind {entry.name!r} of {_package_label(entry)}"
        raise SpecError(exceptions.call_error_message(error, subject=subject, root=_package_root(entry))) from error
    return None if answerer is None else _validated_answerer(answerer, entry)


def _validated_answerer(value: Any, entry: EntryPoint) -> Answerer:
    """Require a subclass of Answerer, because only subclasses get the defaults of members that askd adds later."""
    subject = f"the answerer kind {entry.name!r} of {_package_label(entry)} returned {type(value).__name__}"
    if Answerer not in type(value).__mro__:
        raise SpecError(f"{subject}: expected an instance of a subclass of askd.models.Answerer")
    missing = [name for name in ("kind", "name") if not isinstance(getattr(value, name, None), str)]
    missing += ["answer"] if type(value).answer is Answerer.answer else []
    if missing:
        raise SpecError(f"{subject} without {', '.join(missing)}: see docs/how-to/add-an-answerer.md")
    answerer: Answerer = value
    return answerer


def _package_label(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module


def _package_root(entry: EntryPoint) -> Path:
    """Return the folder of the entry point's top-level package, or its only file: error messages show frames in it."""
    try:
        spec = importlib.util.find_spec(entry.module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        return Path.cwd()
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)


def _declined_message(entry: EntryPoint) -> str:
    return f"the answerer kind {entry.name!r} of {_package_label(entry)} does not accept it"


def _unknown_kind_message(name: str) -> str:
    kinds = sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)})
    installed = f"installed kinds: {', '.join(kinds)}" if kinds else "no plugin is installed"
    return (
        f"no package provides the answerer kind {name!r} ({installed}). Servers have URLs with http://, https://, "
        f"ask+http:// or ask+https://; docs/how-to/add-an-answerer.md shows how to write a plugin"
    )
