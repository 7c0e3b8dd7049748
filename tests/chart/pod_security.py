"""The Pod Security standard `restricted`, as kubernetes.io/docs/concepts/security/pod-security-standards words it."""

from collections.abc import Iterator
from typing import Any, Final

_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SYSCTLS: Final = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"}


def faults(pod: dict[str, Any]) -> Iterator[str]:
    """Yield what of a pod's specification the standard forbids."""
    context = pod.get("securityContext") or {}
    yield from (f"spec.{name}" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name))
    for volume in pod.get("volumes") or []:
        if not _VOLUMES & volume.keys():
            yield f"volume {volume['name']} is of a forbidden type"
    yield from (f"sysctl {each['name']}" for each in context.get("sysctls", ()) if each["name"] not in _SYSCTLS)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind) or []:
            yield from (f"{container['name']}: {fault}" for fault in _container(container, context))


def _container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    either = {**pod, **own}
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if not either.get("runAsNonRoot"):
        yield "runAsNonRoot"
    if either.get("runAsUser") == 0:
        yield "runAsUser 0"
    if (either.get("seccompProfile") or {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort"
