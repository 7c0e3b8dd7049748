"""A control group that limits the memory of a server, and a limit of its file descriptors, as in a container."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MEMORY_LIMIT: Final = 384 << 20
"""Memory limit of the chart, in bytes."""
MAX_DESCRIPTORS: Final = 1024
"""File descriptors that many systems allow."""
NAME: Final = "askd-bench"
_FOLDERS: Final = {
    Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes",
    Path("/sys/fs/cgroup"): "memory.max",
}
"""Folders of version 1 and 2, and the file with the limit."""


@contextlib.contextmanager
def memory_group() -> Iterator[Path | None]:
    """Create a group with the limit, which is removed after its processes have ended. None if that is not allowed."""
    for root, file in _FOLDERS.items():
        group = root / NAME
        try:
            group.mkdir(exist_ok=True)
            (group / file).write_text(str(MEMORY_LIMIT))
        except OSError:
            continue
        try:
            yield group
        finally:
            with contextlib.suppress(OSError):
                group.rmdir()
        return
    yield None


def limited_command(group: Path | None) -> list[str]:
    """Return the prefix of a command that runs with both limits."""
    join = "" if group is None else f"echo $$ >{group}/cgroup.procs; "
    return ["sh", "-c", f'{join}ulimit -n {MAX_DESCRIPTORS}; exec "$@"', "sh"]


def peak_bytes(pid: int) -> int:
    """Return the largest resident memory of a process so far."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)
