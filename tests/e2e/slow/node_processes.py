"""Processes of pods as seen from the node, to kill them without Kubernetes.

The node must run on this machine, as with the docker driver of kind or minikube on Linux.
"""

import os
import signal
from pathlib import Path
from typing import Final

from tests.e2e.slow.namespaced_release import Namespace

CGROUP_GLOB: Final = "[0-9]*/cgroup"


async def container_pids(namespace: Namespace, pod: str) -> list[int]:
    """Return the process ids of a pod's first container on this machine, oldest first."""
    status = (await namespace.get("pod", pod))["status"]
    return pids_in_cgroup(status["containerStatuses"][0]["containerID"].partition("://")[2])


def pids_in_cgroup(container_id: str) -> list[int]:
    """Return the process ids of a container, oldest first."""
    return sorted(
        int(path.parent.name) for path in Path("/proc").glob(CGROUP_GLOB) if _mentions_container(path, container_id)
    )


def _mentions_container(path: Path, container_id: str) -> bool:
    try:
        return container_id in path.read_text(encoding="utf-8")
    except OSError:  # the process has ended
        return False


async def kill_server(namespace: Namespace, pod: str) -> None:
    """Kill the server of a pod with SIGKILL. Raises ProcessLookupError if it runs on another machine."""
    pids = await container_pids(namespace, pod)
    if not pids:
        raise ProcessLookupError(f"pod {pod} does not run on this machine")
    os.kill(pids[0], signal.SIGKILL)
