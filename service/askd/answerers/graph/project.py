"""LangGraph projects: `langgraph.json`, and the variables in the file that its `env` names.

`langgraph.json` is described in LangGraph's documentation, "Application structure" and "LangGraph CLI". askd reads
`graphs`, `env` and the folders in `dependencies`; installing the packages there is up to the user.
"""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from askd.config.environment import read_env_file
from askd.errors import LoadError, SettingsError, SpecError

_PROJECT_SPEC: Final = re.compile(r"(?P<file>(?:.*/)?langgraph\.json|.+\.json(?=#))(?:#(?P<name>.*))?", re.DOTALL)
_GRAPH_PATH: Final = re.compile(r"(?P<module>[^:]+):(?P<attribute>[^:]+)")
_JAVASCRIPT_FILE: Final = re.compile(r"\.[cm]?[jt]sx?$")


@dataclasses.dataclass(frozen=True)
class Project:
    """One graph of a project."""

    spec: str
    """The graph, as `package.module:attr` or `file.py:attr`."""
    folder: Path
    """The folder of `langgraph.json`."""
    env: str | Mapping[str, str]
    """A file of variables, relative to the folder, or the variables."""
    dependencies: tuple[str, ...]
    description: str = ""

    def apply_environment(self) -> None:
        """Set variables that are not set yet, and make the project's folders importable. Raises LoadError."""
        variables = self.env
        if isinstance(variables, str):
            try:
                variables = read_env_file(self.folder / variables)
            except SettingsError as error:
                raise LoadError(str(error)) from None
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        for dependency in reversed(self.dependencies):
            path = str((self.folder / dependency).resolve())
            if Path(path).is_dir() and path not in sys.path:
                sys.path.insert(0, path)


def resolve_project(spec: str) -> Project | None:
    """Return the graph for `langgraph.json` or `langgraph.json#name`, or None if the spec has another shape.

    Raises:
        SpecError: The file is invalid, or does not define the graph; the message lists its graphs.
    """
    match = _PROJECT_SPEC.fullmatch(spec)
    if not match or not _is_file(match["file"]) or (match["name"] is not None and _is_file(spec)):
        return None
    file = Path(match["file"])
    config = _read_config(file)
    graphs = config.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise SpecError(f'{file} defines no graphs: add "graphs": {{"agent": "./agent.py:graph"}}')
    name = _choose_graph(graphs, match["name"], file)
    return _create_project(name, graphs[name], config, file)


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # name too long, NUL in the name
        return False


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise SpecError(f"{file}:{error.lineno}: invalid JSON: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(config, dict):
        raise SpecError(f"{file}: expected a JSON object, as in LangGraph's documentation")
    return config


def _choose_graph(graphs: dict[str, Any], name: str | None, file: Path) -> str:
    choices = ", ".join(f"{file}#{graph}" for graph in graphs)
    if name is None and len(graphs) == 1:
        return next(iter(graphs))
    if name is None:
        raise SpecError(f"{file} has {len(graphs)} graphs: choose one of {choices}")
    if name not in graphs:
        raise SpecError(f"{file} does not define the graph {name!r}: choose one of {choices}")
    return name


def _create_project(name: str, graph: Any, config: dict[str, Any], file: Path) -> Project:
    options = graph if isinstance(graph, dict) else {"path": graph}
    match = _GRAPH_PATH.fullmatch(options["path"]) if isinstance(options.get("path"), str) else None
    if not match:
        raise SpecError(f'{file}: invalid path of the graph {name!r}: use "./agent.py:graph" or "package.module:graph"')
    module = match["module"]
    if _JAVASCRIPT_FILE.search(module):
        raise SpecError(f"{file}: the graph {name!r} is JavaScript, {module}: askd serves only Python")
    if module.endswith(".py") or "/" in module:
        module = str(file.parent / module)
        if not _is_file(module):
            raise SpecError(f"{file}: the file {module} of the graph {name!r} does not exist")
    description = options.get("description")
    return Project(
        spec=f"{module}:{match['attribute']}",
        folder=file.parent,
        env=_parse_env(config.get("env"), file),
        dependencies=tuple(item for item in config.get("dependencies") or () if isinstance(item, str)),
        description=description if isinstance(description, str) else "",
    )


def _parse_env(env: Any, file: Path) -> str | Mapping[str, str]:
    if isinstance(env, str):
        if not _is_file(str(file.parent / env)):
            raise SpecError(f"{file}: `env` names {file.parent / env}, which does not exist: create it or remove `env`")
        return env
    if env is None:
        return {}
    if not isinstance(env, dict) or not all(isinstance(value, str | int | float) for value in env.values()):
        raise SpecError(f"{file}: invalid `env`: expected a file name or an object of variables")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in env.items()}
