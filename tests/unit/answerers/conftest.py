"""Fixtures that write, load and call a user's code; each test starts in an empty folder."""

from tests.support.user_function_fixtures import ask, fresh_imports, load, write

__all__ = ["ask", "fresh_imports", "load", "write"]
