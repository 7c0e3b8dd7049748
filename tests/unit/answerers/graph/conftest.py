"""Graphs in a module of the user's, served as a start would serve them."""

import sys
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.answerers.graph import Graph
from tests.answerers.graph.graphs import ServeGraph


@pytest.fixture(autouse=True)
def fresh_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start in an empty folder, and forget afterwards what the test imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
async def serve_graph(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ServeGraph]:
    """Load a graph, or a factory, that stands in a module called `shop`; closed after the test."""
    loaded = []

    async def serve(value: Any, *, threads: int = 4, **options: Any) -> Graph:
        module = types.ModuleType("shop")
        vars(module)["graph"] = value
        monkeypatch.setitem(sys.modules, "shop", module)
        loaded.append(Graph("shop:graph", threads=threads, **options))
        await loaded[-1].load(lambda line: None)
        return loaded[-1]

    yield serve
    for graph in loaded:
        await graph.close()
