"""Manifests in k8s/: valid, restricted, and consistent with the chart."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.chart import pod_security
from tools.chart.helm import render_chart
from tools.chart.values_file import CHART_FOLDER

ROOT = CHART_FOLDER.parent
K8S = ROOT / "k8s"
KUSTOMIZATIONS = ["plain", "prometheus", "redis", "load"]
needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")


def build_kustomization(name: str) -> list[dict[str, Any]]:
    """Return the objects that `kubectl apply -k` would send."""
    command = ["kubectl", "kustomize", str(K8S / name)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return [item for item in yaml.safe_load_all(result.stdout) if item]


def read_documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text("utf-8")))


@needs_kubectl
@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_manifests_are_valid_and_restricted(name: str) -> None:
    """Each kustomization is valid in Kubernetes 1.30 and 1.37 and follows Pod Security `restricted`."""
    for item in build_kustomization(name):
        for version in ("1.30", "1.37"):
            kubernetes_validate.validate(item, version, strict=True)
        if "template" in item.get("spec", {}):
            assert not list(pod_security.violations(item["spec"]["template"]["spec"]))


@needs_kubectl
def test_plain_manifests_are_independent_of_helm() -> None:
    """Every object is in the namespace askd, which is not among them, and none has a label of Helm."""
    items = build_kustomization("plain")
    assert {item["metadata"].get("namespace") for item in items} == {"askd"}
    assert "helm" not in json.dumps(items).lower()


@pytest.mark.parametrize("path", ["docs/how-to/deploy-on-kubernetes.md", "chart/README.md"])
def test_documented_commands_build_the_default_image(path: str) -> None:
    """The image that the first commands build and load is the one that the chart uses without values."""
    images = set(re.findall(r"(?:build -t|docker-image|image load) (askd\S*)", (ROOT / path).read_text("utf-8")))
    assert images == {render_chart({}).askd_container["image"]}


def test_local_cluster_maps_the_node_ports() -> None:
    """kind.yaml maps the node ports of askd and Prometheus to localhost."""
    (kind,) = read_documents(K8S / "kind.yaml")
    mapped = {port["containerPort"]: port["hostPort"] for port in kind["nodes"][0]["extraPortMappings"]}
    script = (K8S / "up.sh").read_text("utf-8")
    assert f"service.nodePort={30024}" in script
    service = read_documents(K8S / "prometheus" / "server.yaml")[1]
    assert mapped == {30024: 2024, service["spec"]["ports"][0]["nodePort"]: 9090}


def test_prometheus_uses_the_annotations_of_the_chart() -> None:
    """Prometheus' configuration reads exactly the annotations that the chart sets."""
    annotations = render_chart({}).deployment_spec["template"]["metadata"]["annotations"]
    text = (K8S / "prometheus" / "prometheus.yml").read_text("utf-8")
    read = set(re.findall(r"pod_annotation_(prometheus_io_\w+)", text))
    assert read == {re.sub(r"\W", "_", name) for name in annotations if name.startswith("prometheus.io/")}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_configuration_is_valid() -> None:
    """Promtool accepts the configuration."""
    command = ["promtool", "check", "config", str(K8S / "prometheus" / "prometheus.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_load_job_matches_the_service_and_the_script() -> None:
    """The Job sends requests to the Service of the plain manifests, with options that the script has."""
    (job,) = read_documents(K8S / "load" / "job.yaml")
    services = [item for item in read_documents(K8S / "plain" / "askd.yaml") if item["kind"] == "Service"]
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[0] == f"http://{services[1]['metadata']['name']}"
    script = (K8S / "load" / "load.py").read_text("utf-8")
    assert all(f'"{option}"' in script for option in arguments if option.startswith("--"))
