"""Fixtures that write, load and call a user's function."""

from tests.support.user_functions import ask, fresh_imports, load, write

__all__ = ["ask", "fresh_imports", "load", "write"]
