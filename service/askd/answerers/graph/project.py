"""LangGraph projects: `langgraph.json`, and the variables in the file that its `env` names.

`langgraph.json` is described in LangGraph's documentation, "Application structure" and "LangGraph CLI". askd reads
`graphs`, `env`, `auth`, `checkpointer`, `store`, `http.configurable_headers` and the folders in `dependencies`;
installing the packages there is up to the user. What changes a running server and is not supported is a warning.
"""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from askd.answerers.graph.configurable_headers import ConfigurableHeaders
from askd.config.environment import read_env_file
from askd.errors import LoadError, SettingsError, SpecError

_PROJECT_SPEC: Final = re.compile(r"(?P<file>(?:.*/)?langgraph\.json|.+\.json(?=#))(?:#(?P<name>.*))?", re.DOTALL)
_GRAPH_PATH: Final = re.compile(r"(?P<module>[^:]+):(?P<attribute>[^:]+)")
_JAVASCRIPT_FILE: Final = re.compile(r"\.[cm]?[jt]sx?$")


_UNSUPPORTED_KEYS: Final = {
    "http.app": "its routes are not served, and its middleware does not run",
    "http.cors": "set ASKD_CORS_ORIGINS",
    "http.mount_prefix": "set ASKD_PREFIX",
    "ui": "its components are not served",
    "webhooks": "no webhooks are sent",
    "encryption": "the data of the checkpointer and the store is not encrypted",
}
"""Keys of `langgraph.json` that LangGraph's server uses and askd does not, with the consequence."""


@dataclasses.dataclass(frozen=True)
class ProjectObject:
    """An object of the project's code that `langgraph.json` names in `path`, with other options beside it."""

    spec: str
    """The object, as `package.module:attr` or `file.py:attr`; empty if there are only options."""
    folder: Path
    options: Mapping[str, Any]


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
    auth: ProjectObject | None = None
    checkpointer: ProjectObject | None = None
    store: ProjectObject | None = None
    configurable_headers: ConfigurableHeaders | None = None
    warnings: tuple[str, ...] = ()

    def apply_environment(self) -> None:
        """Set variables that are not set yet, and make the project's folders importable. Raises LoadError.

        The folders are appended to `sys.path`, so that no file of the project hides a package.
        """
        variables = self.env
        if isinstance(variables, str):
            try:
                variables = read_env_file(self.folder / variables)
            except SettingsError as error:
                raise LoadError(str(error)) from None
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        for folder in self.importable_folders():
            if str(folder) not in sys.path:
                sys.path.append(str(folder))

    def importable_folders(self) -> list[Path]:
        """Return the project's root, the folders of `dependencies`, and `src` in each of these."""
        folders = [(self.folder / dependency).resolve() for dependency in (".", *self.dependencies)]
        folders += [folder / "src" for folder in folders]
        return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


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
    graphs = _read_graphs(config, file)
    name = _choose_graph(graphs, match["name"], file)
    return _create_project(name, graphs[name], config, file)


def list_graphs(spec: str) -> list[str]:
    """Return the names of the graphs that a project defines, without those in JavaScript unless there are only these.

    Empty if the spec is no project, or names one of its graphs. Raises SpecError if the file is invalid.
    """
    match = _PROJECT_SPEC.fullmatch(spec)
    if not match or match["name"] is not None or not _is_file(match["file"]):
        return []
    return _servable_names(_read_graphs(_read_config(Path(spec)), Path(spec)))


def _servable_names(graphs: dict[str, Any]) -> list[str]:
    return [name for name, graph in graphs.items() if not _is_javascript(graph)] or [*graphs]


def _read_graphs(config: dict[str, Any], file: Path) -> dict[str, Any]:
    graphs = config.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise SpecError(f'{file} defines no graphs: add "graphs": {{"agent": "./agent.py:graph"}}')
    return graphs


def _is_javascript(graph: Any) -> bool:
    path = graph.get("path") if isinstance(graph, dict) else graph
    return isinstance(path, str) and _JAVASCRIPT_FILE.search(path.partition(":")[0]) is not None


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
    names = _servable_names(graphs)
    choices = ", ".join(f"{file}#{graph}" for graph in names)
    if name is None and len(names) == 1:
        return names[0]
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
    env, missing_env = _parse_env(config.get("env"), file)
    objects = {key: _parse_object(config.get(key), key, file) for key in ("auth", "checkpointer", "store")}
    return Project(
        spec=f"{module}:{match['attribute']}",
        folder=file.parent,
        env=env,
        dependencies=tuple(item for item in config.get("dependencies") or () if isinstance(item, str)),
        description=description if isinstance(description, str) else "",
        warnings=(*missing_env, *_javascript_warnings(config, file), *_unsupported_options(config, file)),
        configurable_headers=_parse_configurable_headers(config.get("http"), file),
        **objects,
    )


def _parse_configurable_headers(http: Any, file: Path) -> ConfigurableHeaders | None:
    options = http.get("configurable_headers") if isinstance(http, dict) else None
    try:
        return None if options is None else ConfigurableHeaders(options)
    except ValueError as error:
        raise SpecError(f"{file}: invalid `http.configurable_headers`: {error}") from None


def _parse_object(options: Any, key: str, file: Path) -> ProjectObject | None:
    """Return the object that a key names. `auth` without a path is an error: the server must not be open by mistake.

    Raises:
        SpecError: The path is invalid.
    """
    if options is None:
        return None
    path = options.get("path") if isinstance(options, dict) else options
    match = _GRAPH_PATH.fullmatch(path) if isinstance(path, str) else None
    if not match and (path is not None or key == "auth"):
        raise SpecError(f'{file}: invalid path of `{key}`: use "./{key}.py:{key}" or "package.module:{key}"')
    if match and _JAVASCRIPT_FILE.search(match["module"]):
        raise SpecError(f"{file}: `{key}` is JavaScript, {match['module']}: askd runs only Python")
    spec = ""
    if match:
        module = match["module"]
        is_path = module.endswith(".py") or "/" in module
        spec = f"{file.parent / module if is_path else module}:{match['attribute']}"
    return ProjectObject(spec, file.parent, options if isinstance(options, dict) else {})


def _javascript_warnings(config: dict[str, Any], file: Path) -> list[str]:
    return [
        f"{file}: the graph {name!r} is not served: it is JavaScript"
        for name, graph in _read_graphs(config, file).items()
        if _is_javascript(graph)
    ]


def _unsupported_options(config: Mapping[str, Any], file: Path) -> list[str]:
    http = config.get("http")
    values = dict(config)
    if isinstance(http, dict):
        values |= {f"http.{key}": value for key, value in http.items()}
    warnings = [
        f"{file}: `{key}` is not supported: {consequence}"
        for key, consequence in _UNSUPPORTED_KEYS.items()
        if values.get(key)
    ]
    for key in ("checkpointer", "store"):
        options = config.get(key)
        if isinstance(options, dict) and options.get("ttl"):
            warnings.append(f"{file}: `{key}.ttl` is not supported: nothing is deleted by age")
    return warnings


def _parse_env(env: Any, file: Path) -> tuple[str | Mapping[str, str], list[str]]:
    """Return the file or the variables, and warnings."""
    if isinstance(env, str):
        if not _is_file(str(file.parent / env)):
            return {}, [f"{file}: `env` names {file.parent / env}, which does not exist: no variables are set"]
        return env, []
    if env is None:
        return {}, []
    if not isinstance(env, dict) or not all(isinstance(value, str | int | float) for value in env.values()):
        raise SpecError(f"{file}: invalid `env`: expected a file name or an object of variables")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in env.items()}, []
