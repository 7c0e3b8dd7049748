"""Memory for graphs that have none: a checkpointer for conversations, and a store for a graph's memories.

`ASKD_GRAPH_MEMORY` selects LangGraph's own classes, in memory or in a database. The `checkpointer` and the `store` of a
`langgraph.json` come first. All classes are imported by name, and only if they are configured.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from askd.answerers.graph.loader import ContextHolder
from askd.answerers.graph.project import Project, ProjectObject
from askd.answerers.user_code import exceptions
from askd.answerers.user_code.importer import resolve_target
from askd.answerers.user_code.user_module import UserModule
from askd.errors import LoadError

SQLITE_PREFIX: Final = "sqlite:"
POSTGRES_PREFIXES: Final = ("postgres://", "postgresql://")
_POOL_SIZE: Final = 10
"""Maximum number of connections to Postgres, for the checkpointer and for the store each."""
_PACKAGES: Final = {
    "langgraph.checkpoint.sqlite": "langgraph-checkpoint-sqlite",
    "langgraph.store.sqlite": "langgraph-checkpoint-sqlite",
    "langgraph.checkpoint.postgres": "langgraph-checkpoint-postgres",
    "langgraph.store.postgres": "langgraph-checkpoint-postgres",
    "psycopg_pool": "psycopg[binary,pool]",
}
"""The package to install for a module."""


@dataclasses.dataclass(frozen=True)
class GraphMemory:
    """The checkpointer and the store for a graph; None if it gets none."""

    checkpointer: Any = None
    store: Any = None

    def attach(self, graph: Any) -> Any:
        """Return the graph, or a copy with the checkpointer and the store if it has none of its own."""
        update = {}
        if self.checkpointer is not None and getattr(graph, "checkpointer", True) is None:
            update["checkpointer"] = self.checkpointer
        if self.store is not None and getattr(graph, "store", True) is None:
            update["store"] = self.store
        return graph.copy(update=update) if update and callable(getattr(graph, "copy", None)) else graph


class MemoryOpener:
    """Opens the memory that the setting and the project name.

    Args:
        setting: The value of `ASKD_GRAPH_MEMORY`, or None.
        project: The project of the graph, or None.
        contexts: Closes the connections.
        user_module: Runs the import of the project's own factories.
    """

    def __init__(
        self, setting: str | None, project: Project | None, contexts: ContextHolder, user_module: UserModule
    ) -> None:
        self._setting, self._contexts, self._user_module = setting, contexts, user_module
        self._checkpointer = project.checkpointer if project else None
        self._store = project.store if project else None

    async def open(self) -> GraphMemory:
        """Connect, and create missing tables. Raises LoadError, whose message does not contain the URL."""
        try:
            return GraphMemory(await self._open_checkpointer(), await self._open_store())
        except LoadError:
            raise
        except ModuleNotFoundError as error:
            raise LoadError(_missing_package_message(error)) from error
        except Exception as error:
            message = f"ASKD_GRAPH_MEMORY: the database cannot be used: {type(error).__name__}: {error}"
            raise LoadError(_without_url(message, self._setting)) from error

    async def _open_checkpointer(self) -> Any:
        if self._checkpointer and self._checkpointer.spec:
            return await self._open_project_object(self._checkpointer, "the checkpointer")
        if self._setting is None:
            return None
        if self._setting.startswith(SQLITE_PREFIX):
            saver = _import("langgraph.checkpoint.sqlite.aio", "AsyncSqliteSaver")
            return await self._open_database(saver.from_conn_string(self._sqlite_path()))
        if self._setting.startswith(POSTGRES_PREFIXES):
            saver = _import("langgraph.checkpoint.postgres.aio", "AsyncPostgresSaver")
            pool = await self._open_database(_create_postgres_pool(self._setting))
            checkpointer = saver(pool)
            await self._set_up(checkpointer)
            return checkpointer
        return _import("langgraph.checkpoint.memory", "InMemorySaver")()

    async def _open_store(self) -> Any:
        """Open the store. A project that configures a store gets one in memory if no database is configured."""
        if self._store and self._store.spec:
            return await self._open_project_object(self._store, "the store")
        if self._setting is None and self._store is None:
            return None
        index = await self._store_index()
        setting = self._setting or "memory"
        if setting.startswith(SQLITE_PREFIX):
            store = _import("langgraph.store.sqlite.aio", "AsyncSqliteStore")
            return await self._open_database(store.from_conn_string(self._sqlite_path(), index=index))
        if setting.startswith(POSTGRES_PREFIXES):
            store = _import("langgraph.store.postgres.aio", "AsyncPostgresStore")
            pool = {"min_size": 1, "max_size": _POOL_SIZE}
            return await self._open_database(store.from_conn_string(setting, pool_config=pool, index=index))
        return _import("langgraph.store.memory", "InMemoryStore")(index=index)

    async def _store_index(self) -> dict[str, Any] | None:
        """Return the configuration of the semantic search. LangGraph itself resolves names such as `openai:…`."""
        index = dict(self._store.options.get("index") or {}) if self._store else {}
        embed = index.get("embed")
        if isinstance(embed, str) and ".py:" in embed and self._store:
            index["embed"] = await self._resolve(str(self._store.folder / embed))
        return index or None

    async def _open_project_object(self, declared: ProjectObject, description: str) -> Any:
        """Return the object that the project names, or that its factory or context manager creates."""
        value = await self._resolve(declared.spec)
        try:
            if callable(value):
                value = value()
            if inspect.isawaitable(value):
                value = await value
            if hasattr(value, "__aenter__") and not hasattr(value, "aget_tuple") and not hasattr(value, "asearch"):
                value = await self._contexts.enter(value)
        except Exception as error:
            subject = f"{description} {declared.spec}"
            raise LoadError(
                exceptions.call_error_message(error, subject=subject, root=declared.folder.resolve())
            ) from error
        return value

    async def _open_database(self, manager: Any) -> Any:
        """Enter the context of a connection, and create missing tables."""
        value = await self._contexts.enter(manager)
        await self._set_up(value)
        return value

    async def _set_up(self, value: Any) -> None:
        if hasattr(value, "setup"):
            await value.setup()

    async def _resolve(self, spec: str) -> Any:
        target = await self._user_module.run_in_thread(partial(resolve_target, spec))
        return target.value

    def _sqlite_path(self) -> str:
        path = (self._setting or "").removeprefix(SQLITE_PREFIX)
        folder = Path(path).parent
        if not folder.is_dir():
            raise LoadError(f"ASKD_GRAPH_MEMORY={self._setting}: the folder {folder} does not exist: create it")
        return path


def _create_postgres_pool(url: str) -> Any:
    """Return a pool that is configured as LangGraph's checkpointer requires."""
    rows = importlib.import_module("psycopg.rows")
    pool = _import("psycopg_pool", "AsyncConnectionPool")
    options: Mapping[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": rows.dict_row}
    return pool(url, kwargs=options, min_size=1, max_size=_POOL_SIZE, open=False, timeout=10.0)


def _import(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _missing_package_message(error: ModuleNotFoundError) -> str:
    name = error.name or ""
    package = next((package for module, package in _PACKAGES.items() if f"{name}.".startswith(f"{module}.")), name)
    return f"the memory of the graph needs the package {package}: install it beside LangGraph"


def _without_url(message: str, url: str | None) -> str:
    return message.replace(url, "***") if url else message
