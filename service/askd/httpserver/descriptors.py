"""File descriptors: the limit of the process, and the connections that it allows."""

import contextlib
import resource
from typing import Final

RESERVED_DESCRIPTORS: Final = 128
"""File descriptors that connections leave to the ops port, the log, Redis and the user's code."""


def raise_descriptor_limit() -> None:
    """Raise the soft limit of file descriptors of this process to the hard one: many systems start with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit than it reports
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bounded_by_descriptors(max_connections: int) -> int:
    """Return how many of these connections the process can open: at least 1."""
    limit = descriptor_limit()
    return max_connections if limit is None else max(min(max_connections, limit - RESERVED_DESCRIPTORS), 1)


def descriptor_limit() -> int | None:
    """Return the number of files that the process may open, or None without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
