"""Fixtures that serve an app in this process over real sockets."""

from tests.support.app_fixtures import log, serve, start_server

__all__ = ["log", "serve", "start_server"]
