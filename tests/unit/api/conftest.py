"""Capture of the log of each test, which keeps it from the terminal; no app is served here."""

from tests.support.app_fixtures import log

__all__ = ["log"]
