"""Fixtures that start askd as a process."""

from tests.support.askd_process import gate, start

__all__ = ["gate", "start"]
