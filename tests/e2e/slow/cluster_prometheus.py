"""A Prometheus in the namespace of a test, with access to that namespace only."""

import json
import time
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from tests.e2e.slow.load_generator import Connection
from tests.e2e.slow.namespaced_release import Namespace, node_address

IMAGE: Final = "quay.io/prometheus/prometheus:v3.16.0"
SCRAPE_INTERVAL: Final = 2
"""Seconds between two scrapes."""
_POD_META: Final = "__meta_kubernetes_pod"


def _configuration(namespace: str) -> dict[str, Any]:
    """Return a configuration that discovers pods by their annotations."""
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
        "global": {"scrape_interval": f"{SCRAPE_INTERVAL}s", "evaluation_interval": f"{SCRAPE_INTERVAL}s"},
        "rule_files": ["/etc/prometheus/rules.yml"],
        "scrape_configs": [{"job_name": "pods", "kubernetes_sd_configs": discovery, "relabel_configs": relabel}],
    }


ALERT_RULES: Final = {
    "groups": [{"name": "targets", "rules": [{"alert": "TargetDown", "expr": "up == 0", "for": "30s"}]}]
}
"""An alert after 30 s, where ten minutes are common, so that a test sees it."""
_METADATA: Final = {"name": "prometheus"}


def _objects(namespace: str) -> list[dict[str, Any]]:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "prometheus"}
    subjects = [{"kind": "ServiceAccount", "name": "prometheus", "namespace": namespace}]
    files = {"prometheus.yml": json.dumps(_configuration(namespace)), "rules.yml": json.dumps(ALERT_RULES)}
    rbac_version = "rbac.authorization.k8s.io/v1"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _METADATA},
        {"apiVersion": rbac_version, "kind": "Role", "metadata": _METADATA, "rules": rules},
        {
            "apiVersion": rbac_version,
            "kind": "RoleBinding",
            "metadata": _METADATA,
            "roleRef": role,
            "subjects": subjects,
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _METADATA, "data": files},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**_METADATA, "labels": {"app": "prometheus"}}, "spec": _pod()},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _METADATA,
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
        "volumes": [{"name": "config", "configMap": _METADATA}, {"name": "data", "emptyDir": {}}],
    }


class Prometheus:
    """Client of the Prometheus."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    @classmethod
    async def start(cls, namespace: Namespace) -> "Prometheus":
        """Start a Prometheus and wait until it is ready."""
        await namespace.apply(*_objects(namespace.name))
        await namespace.kubectl("wait", "--for=condition=Ready", "pod/prometheus", "--timeout=120s")
        service = await namespace.get("service", "prometheus")
        return cls((await node_address(), service["spec"]["ports"][0]["nodePort"]))

    async def query(self, query: str) -> list[dict[str, Any]]:
        """Return the result of an instant query. Raises OSError while the port is not open on the node."""
        connection = await Connection.open(*self._address)
        try:
            response = await connection.get(f"/api/v1/query?{urlencode({'query': query})}")
        finally:
            connection.close()
        content = msgspec.json.decode(response.body)
        assert content["status"] == "success", content
        result: list[dict[str, Any]] = content["data"]["result"]
        return result

    async def query_value(self, query: str) -> float:
        """Return the first value of a query; NaN if the result is empty."""
        result = await self.query(query)
        return float(result[0]["value"][1]) if result else float("nan")

    async def wait_for_value(self, query: str, value: float, *, timeout: float = 60.0) -> float:
        """Wait until a query has this value. Returns the seconds that it took; infinity after the time-out."""
        started_at = time.monotonic()
        while time.monotonic() - started_at < timeout:
            try:
                if await self.query_value(query) == value:
                    return time.monotonic() - started_at
            except OSError:
                continue
        return float("inf")
