"""The Pod Security Standard `restricted`: kubernetes.io/docs/concepts/security/pod-security-standards."""

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


def violations(pod: dict[str, Any]) -> Iterator[str]:
    """Yield the violations of the standard in the spec of a pod."""
    context = pod.get("securityContext") or {}
    yield from (f"spec.{name}" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name))
    for volume in pod.get("volumes") or []:
        if not _VOLUMES & volume.keys():
            yield f"volume {volume['name']} is of a forbidden type"
    yield from (f"sysctl {sysctl['name']}" for sysctl in context.get("sysctls", ()) if sysctl["name"] not in _SYSCTLS)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(field) or []:
            yield from (f"{container['name']}: {reason}" for reason in _container_violations(container, context))


def _container_violations(container: dict[str, Any], pod_context: dict[str, Any]) -> Iterator[str]:
    context = container.get("securityContext") or {}
    merged = {**pod_context, **context}
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if not merged.get("runAsNonRoot"):
        yield "runAsNonRoot"
    if merged.get("runAsUser") == 0:
        yield "runAsUser 0"
    if (merged.get("seccompProfile") or {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities"
    if context.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort"
