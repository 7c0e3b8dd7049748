"""Fixtures that serve a graph from a user's module."""

import sys
import types
from collections.abc import AsyncIterator
from typing import Any

import pytest

from askd.answerers.graph import GraphAnswerer
from tests.support.langgraph_graphs import LoadGraph


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
