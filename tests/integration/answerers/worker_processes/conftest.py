"""Fixtures that run code in worker processes."""

from tests.support.app_fixtures import log, serve
from tests.support.worker_process_fixtures import start_workers

__all__ = ["log", "serve", "start_workers"]
