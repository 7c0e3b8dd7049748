"""Fixtures that write, load and call a user's function."""

from tests.support.user_function_fixtures import ask, fresh_imports, load, write

__all__ = ["ask", "fresh_imports", "load", "write"]
