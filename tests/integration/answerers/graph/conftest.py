"""Fixtures that serve a graph in this process."""

from tests.support.app_fixtures import log, serve

__all__ = ["log", "serve"]
