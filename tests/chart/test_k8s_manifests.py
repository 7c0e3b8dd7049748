"""Manifests and scripts in k8s/, and skaffold.yaml: valid, restricted, and consistent with the chart."""

import json
import os
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
needs_skaffold = pytest.mark.skipif(not shutil.which("skaffold"), reason="skaffold is not installed")


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


def test_development_image_has_one_name() -> None:
    """`make up` and `make image` give the name askd:dev only to the target that `skaffold dev` of a project needs."""
    script, makefile = (K8S / "up.sh").read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")
    assert re.findall(r".*--tag askd:dev.*", script) == ["docker build --quiet --target dev --tag askd:dev ."]
    assert "tag=askd:$$target" in makefile


def test_local_cluster_maps_the_node_ports() -> None:
    """kind.yaml maps the node ports of askd and Prometheus to localhost."""
    (kind,) = read_documents(K8S / "kind.yaml")
    mapped = {port["containerPort"]: port["hostPort"] for port in kind["nodes"][0]["extraPortMappings"]}
    script = (K8S / "up.sh").read_text("utf-8")
    assert f"service.nodePort={30024}" in script
    service = read_documents(K8S / "prometheus" / "server.yaml")[1]
    assert mapped == {30024: 2024, service["spec"]["ports"][0]["nodePort"]: 9090}


@pytest.mark.parametrize("script", ["up.sh", "down.sh"])
@pytest.mark.parametrize("context", ["production", "gke_project_zone_name", "arn:aws:eks:eu:1:cluster/a", "not-kind-a"])
def test_remote_cluster_is_rejected(tmp_path: Path, script: str, context: str) -> None:
    """The scripts do nothing in a cluster that is not on this machine."""
    result = run_script(tmp_path, script, context)
    assert result.returncode == 1
    assert f"The current context is {context}" in result.stderr
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize("context", ["kind-askd", "minikube", "k3d-a", "docker-desktop", "orbstack", "colima"])
def test_local_cluster_is_accepted(tmp_path: Path, context: str) -> None:
    """`make down` continues in a local context."""
    run_script(tmp_path, "down.sh", context)
    assert "uninstall" in (tmp_path / "calls").read_text()


def run_script(folder: Path, script: str, context: str) -> subprocess.CompletedProcess[str]:
    """Run a script with fake tools, which append their calls to the file `calls`; kubectl returns the context."""
    for tool in ("docker", "helm", "kind", "minikube", "kubectl"):
        context_reply = f'[[ $* == "config current-context" ]] && echo {context} && exit\n' if tool == "kubectl" else ""
        path = folder / tool
        path.write_text(f'#!/usr/bin/env bash\n{context_reply}echo "{tool} $*" >>{folder}/calls\n')
        path.chmod(0o755)
    (folder / "calls").unlink(missing_ok=True)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    result = subprocess.run([K8S / script], capture_output=True, text=True, check=False, env=environment)
    if script == "up.sh" and (folder / "calls").exists():
        raise AssertionError((folder / "calls").read_text())
    return result


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


@needs_skaffold
@pytest.mark.parametrize("profile", ["", "dev", "function", "langgraph"])
def test_skaffold_configuration_is_valid(profile: str) -> None:
    """`skaffold diagnose` accepts each profile, and its folders, Dockerfiles and targets exist."""
    command = ["skaffold", "diagnose", "--yaml-only", *(("--profile", profile) if profile else ())]
    environment = {**os.environ, "KUBECONFIG": os.devnull, "SKAFFOLD_UPDATE_CHECK": "false"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    for artifact in yaml.safe_load(result.stdout)["build"]["artifacts"]:
        folder = ROOT / artifact.get("context", ".")
        dockerfile = folder / artifact["docker"]["dockerfile"]
        assert dockerfile.is_file()
        target = artifact["docker"].get("target")
        assert target is None or f"AS {target}\n" in dockerfile.read_text("utf-8")


def test_graph_in_memory_has_one_replica() -> None:
    """The LangGraph profile runs one replica also without `dev`, because its example keeps conversations in memory."""
    (_, langgraph) = [
        profile for profile in read_documents(ROOT / "skaffold.yaml")[0]["profiles"] if "answerer.spec" in str(profile)
    ]
    (values,) = [patch["value"] for patch in langgraph["patches"] if patch["path"].endswith("/setValues")]
    assert values == {"answerer.spec": "langgraph.json", "replicaCount": 1}
    assert "InMemorySaver" in (ROOT / "docs" / "examples" / "langgraph" / "main.py").read_text("utf-8")


@needs_skaffold
def test_skaffold_renders_the_chart(tmp_path: Path) -> None:
    """`skaffold render` renders the chart with the built image."""
    builds = tmp_path / "builds.json"
    builds.write_text(json.dumps({"builds": [{"imageName": "askd", "tag": "askd:built"}]}))
    command = ["skaffold", "render", "--build-artifacts", str(builds), "--digest-source=tag"]
    environment = {**os.environ, "KUBECONFIG": os.devnull, "SKAFFOLD_UPDATE_CHECK": "false"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    items = [item for item in yaml.safe_load_all(result.stdout) if item]
    (deployment,) = [item for item in items if item["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "askd:built"


def test_development_values_are_valid() -> None:
    """The values of `skaffold dev` render one replica that reloads."""
    rendered = render_chart(read_documents(K8S / "dev" / "values.yaml")[0])
    assert (rendered.deployment_spec["replicas"], rendered.environment["ASKD_RELOAD"]) == (1, "true")
