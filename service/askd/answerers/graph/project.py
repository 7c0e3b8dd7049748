"""`langgraph.json`: which graphs a LangGraph project has, and what they need around them.

Format: LangGraph's documentation, "Application structure" and "LangGraph CLI". Of it, `graphs`, `env` and the folders
under `dependencies` count here; packages are for whoever installs.
"""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from service.answerers.graph import dotenv
from service.errors import SpecError

_SPEC: Final = re.compile(r"(?P<file>(?:.*/)?langgraph\.json|.+\.json(?=#))(?:#(?P<name>.*))?", re.DOTALL)
_TARGET: Final = re.compile(r"(?P<place>[^:]+):(?P<attribute>[^:]+)")


@dataclasses.dataclass(frozen=True)
class Project:
    """One graph of a project: `spec` finds it, `folder` is where the file lies that names it."""

    spec: str
    folder: Path
    env: str | Mapping[str, str]
    """A file of variables, relative to the folder, or the variables."""
    dependencies: tuple[str, ...]
    description: str = ""

    def apply(self) -> None:
        """Set the variables that are not set yet, and make the project's folders importable. Raises LoadError."""
        variables = self.env
        if isinstance(variables, str):
            variables = dotenv.read(self.folder / variables)
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        for each in reversed(self.dependencies):
            path = str((self.folder / each).resolve())
            if Path(path).is_dir() and path not in sys.path:
                sys.path.insert(0, path)


def project(spec: str) -> Project | None:
    """Return the graph that `langgraph.json` or `langgraph.json#name` names; None: the spec has another shape.

    Raises SpecError, which lists the graphs that there are.
    """
    shape = _SPEC.fullmatch(spec)
    if not shape or not _is_file(shape["file"]) or (shape["name"] is not None and _is_file(spec)):
        return None
    file = Path(shape["file"])
    content = _read(file)
    graphs = content.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise SpecError(f'{file} names no graphs: give it "graphs": {{"agent": "./agent.py:graph"}}')
    name = _chosen(graphs, shape["name"], file)
    return _made(name, graphs[name], content, file)


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name too long, a NUL in it
        return False


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except json.JSONDecodeError as fault:
        raise SpecError(f"{file}:{fault.lineno}: is no JSON: {fault.msg}") from None
    except (OSError, ValueError) as fault:
        raise SpecError(f"{file}: cannot be read: {getattr(fault, 'strerror', None) or fault}") from None
    if not isinstance(content, dict):
        raise SpecError(f"{file} is no JSON object, as LangGraph's configuration is")
    return content


def _chosen(graphs: dict[str, Any], name: str | None, file: Path) -> str:
    choices = ", ".join(f"{file}#{each}" for each in graphs)
    if name is None and len(graphs) == 1:
        return next(iter(graphs))
    if name is None:
        raise SpecError(f"{file} has {len(graphs)} graphs: name one of {choices}")
    if name not in graphs:
        raise SpecError(f"{file} has no graph {name!r}: it has {choices}")
    return name


def _made(name: str, given: Any, content: dict[str, Any], file: Path) -> Project:
    about = given if isinstance(given, dict) else {"path": given}
    target = _TARGET.fullmatch(about["path"]) if isinstance(about.get("path"), str) else None
    if not target:
        raise SpecError(f'{file}: the graph {name!r} has no path: give "./agent.py:graph" or "package.module:graph"')
    place = target["place"]
    if re.search(r"\.[cm]?[jt]sx?$", place):
        raise SpecError(f"{file}: the graph {name!r} is JavaScript, {place}: askd serves Python")
    if place.endswith(".py") or "/" in place:
        place = str(file.parent / place)
        if not _is_file(place):
            raise SpecError(f"{file}: the graph {name!r} is in {place}, which is no file")
    described = about.get("description")
    return Project(
        spec=f"{place}:{target['attribute']}",
        folder=file.parent,
        env=_env(content.get("env"), file),
        dependencies=tuple(each for each in content.get("dependencies") or () if isinstance(each, str)),
        description=described if isinstance(described, str) else "",
    )


def _env(given: Any, file: Path) -> str | Mapping[str, str]:
    if isinstance(given, str):
        if not _is_file(str(file.parent / given)):
            raise SpecError(f"{file}: there is no {file.parent / given}, which `env` names: make it, or drop `env`")
        return given
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(each, str | int | float) for each in given.values()):
        raise SpecError(f"{file}: `env` is neither a file's name nor variables with their values")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
