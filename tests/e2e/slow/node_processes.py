"""What happens to a node: processes are killed behind the cluster's back.

The node's processes are looked for on this machine: so they are with kind or minikube's docker driver on Linux.
"""

import os
import signal
from pathlib import Path
from typing import Final

from .cluster import Namespace

CGROUPS: Final = "[0-9]*/cgroup"


async def processes(namespace: Namespace, pod: str) -> list[int]:
    """Return the ids of the processes in a pod's first container as this machine sees them, oldest first."""
    found = await namespace.get("pod", pod)
    return holding(found["status"]["containerStatuses"][0]["containerID"].partition("://")[2])


def holding(container: str) -> list[int]:
    """Return the ids of the processes in a container, oldest first."""
    return sorted(int(path.parent.name) for path in Path("/proc").glob(CGROUPS) if _holds(path, container))


def _holds(path: Path, container: str) -> bool:
    try:
        return container in path.read_text(encoding="utf-8")
    except OSError:  # it has ended
        return False


async def kill(namespace: Namespace, pod: str) -> None:
    """Do what `kill -9` on the node does to the server of a pod. Raises ProcessLookupError."""
    found = await processes(namespace, pod)
    if not found:
        raise ProcessLookupError(f"no process of {pod} is seen from here")
    os.kill(found[0], signal.SIGKILL)
