"""Fixtures of the command line: a fake server, and an environment without settings."""

import os
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from unittest.mock import patch

import pytest

from askd.cli.main import main
from askd.config import Settings


class FakeServer(ModuleType):
    """Fake of askd.process.server that records the arguments of `run`."""

    def __init__(self) -> None:
        super().__init__("askd.process.server")
        self.settings: Settings | None = None
        self.unknown: Mapping[str, str | None] = {}
        self.outcome: int | BaseException = 0

    def run(self, settings: Settings, *, unknown: Mapping[str, str | None]) -> int:
        """Record the arguments, and return or raise the outcome."""
        self.settings, self.unknown = settings, unknown
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Start each test without ASKD_ variables, and restore the environment afterwards."""
    with patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("ASKD_")]:
            del os.environ[name]
        yield


@pytest.fixture(name="server")
def fake_server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """Replace the server module by a fake."""
    fake = FakeServer()
    monkeypatch.setitem(sys.modules, "askd.process.server", fake)
    return fake


def load_settings(server: FakeServer, *arguments: str) -> Settings:
    """Run the command line and return the settings that the server received."""
    assert main(arguments) == 0
    assert server.settings is not None
    return server.settings
