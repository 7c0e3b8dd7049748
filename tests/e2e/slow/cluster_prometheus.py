"""A Prometheus of the test's own, in its namespace, which it may look at and at nothing else."""

import json
import time
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from .cluster import Namespace, node_address
from .load import Connection

IMAGE: Final = "quay.io/prometheus/prometheus:v3.16.0"
EVERY: Final = 2
"""Seconds between two scrapes."""
_POD_META: Final = "__meta_kubernetes_pod"


def _configuration(namespace: str) -> dict[str, Any]:
    """Find pods as the annotations of the chart say, as most set-ups do; JSON is YAML."""
    annotation = f"{_POD_META}_annotation_prometheus_io"
    relabel = [
        {"source_labels": [f"{annotation}_scrape"], "regex": "true", "action": "keep"},
        {"source_labels": [f"{_POD_META}_phase"], "regex": "Pending|Succeeded|Failed", "action": "drop"},
        {
            "source_labels": [f"{_POD_META}_container_port_number"],
            "target_label": f"{annotation}_port",
            "action": "keepequal",
        },
        {"source_labels": [f"{annotation}_path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": [f"{_POD_META}_name"], "target_label": "pod"},
    ]
    discovery = [{"role": "pod", "namespaces": {"names": [namespace]}}]
    return {
        "global": {"scrape_interval": f"{EVERY}s", "evaluation_interval": f"{EVERY}s"},
        "rule_files": ["/etc/prometheus/rules.yml"],
        "scrape_configs": [{"job_name": "pods", "kubernetes_sd_configs": discovery, "relabel_configs": relabel}],
    }


RULES: Final = {"groups": [{"name": "targets", "rules": [{"alert": "TargetDown", "expr": "up == 0", "for": "30s"}]}]}
"""Far quicker to alarm than the usual ten minutes."""
_NAME: Final = {"name": "prometheus"}


def _objects(namespace: str) -> list[dict[str, Any]]:
    rights = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "prometheus"}
    subjects = [{"kind": "ServiceAccount", "name": "prometheus", "namespace": namespace}]
    files = {"prometheus.yml": json.dumps(_configuration(namespace)), "rules.yml": json.dumps(RULES)}
    access = "rbac.authorization.k8s.io/v1"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _NAME},
        {"apiVersion": access, "kind": "Role", "metadata": _NAME, "rules": rights},
        {"apiVersion": access, "kind": "RoleBinding", "metadata": _NAME, "roleRef": role, "subjects": subjects},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _NAME, "data": files},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**_NAME, "labels": {"app": "prometheus"}}, "spec": _pod()},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _NAME,
            "spec": {"type": "NodePort", "selector": {"app": "prometheus"}, "ports": [{"port": 9090}]},
        },
    ]


def _pod() -> dict[str, Any]:
    container = {
        "name": "prometheus",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/prometheus"}, {"name": "data", "mountPath": "/data"}],
    }
    return {
        "serviceAccountName": "prometheus",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "config", "configMap": _NAME}, {"name": "data", "emptyDir": {}}],
    }


class Prometheus:
    """Asks it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    @classmethod
    async def start(cls, namespace: Namespace) -> "Prometheus":
        """Start one, and wait until it is ready."""
        await namespace.apply(*_objects(namespace.name))
        await namespace.kubectl("wait", "--for=condition=Ready", "pod/prometheus", "--timeout=120s")
        service = await namespace.get("service", "prometheus")
        return cls((await node_address(), service["spec"]["ports"][0]["nodePort"]))

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the result of a query now. Raises OSError while the node does not know its port."""
        connection = await Connection.open(*self._address)
        try:
            reply = await connection.get(f"/api/v1/query?{urlencode({'query': query})}")
        finally:
            connection.close()
        found = msgspec.json.decode(reply.body)
        assert found["status"] == "success", found
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    async def value(self, query: str) -> float:
        """Return the only value of a query; NaN where there is none."""
        result = await self.ask(query)
        return float(result[0]["value"][1]) if result else float("nan")

    async def until(self, query: str, wanted: float, *, limit: float = 60.0) -> float:
        """Wait until a query has a value; returns the seconds that took, infinity where it has not got it in time."""
        began = time.monotonic()
        while time.monotonic() - began < limit:
            try:
                if await self.value(query) == wanted:
                    return time.monotonic() - began
            except OSError:
                continue
        return float("inf")
