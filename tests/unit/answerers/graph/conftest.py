"""Fixtures that serve a graph from a user's module."""

import sys
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from askd.answerers.graph import GraphAnswerer
from tests.support.langgraph_graphs import LoadGraph


@pytest.fixture(autouse=True)
def fresh_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start in an empty folder; remove the modules that the test imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
async def serve_graph(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoadGraph]:
    """Load a graph or a factory from a module called `shop`; it is closed after the test."""
    loaded = []

    async def serve(value: Any, *, threads: int = 4, **options: Any) -> GraphAnswerer:
        module = types.ModuleType("shop")
        vars(module)["graph"] = value
        monkeypatch.setitem(sys.modules, "shop", module)
        loaded.append(GraphAnswerer("shop:graph", threads=threads, **options))
        await loaded[-1].load(lambda line: None)
        return loaded[-1]

    yield serve
    for graph in loaded:
        await graph.close()
