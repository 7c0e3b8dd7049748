"""What stands in k8s/ and skaffold.yaml is valid, safe, and agrees with the chart."""

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

from tests.chart import restricted
from tests.chart.manual import CHART
from tests.chart.render import template
from tests.cluster.asking import FAST

ROOT = CHART.parent
K8S = ROOT / "k8s"
SETS = ["plain", "prometheus", "redis", "load"]
needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
needs_skaffold = pytest.mark.skipif(not shutil.which("skaffold"), reason="skaffold is not installed")


def built(name: str) -> list[dict[str, Any]]:
    """Return the objects that `kubectl apply -k` would send."""
    command = ["kubectl", "kustomize", str(K8S / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text("utf-8")))


@needs_kubectl
@pytest.mark.parametrize("name", SETS)
def test_the_manifests_are_valid_and_restricted(name: str) -> None:
    """Each set builds, is what Kubernetes 1.30 and 1.37 take, and keeps to the standard `restricted`."""
    for found in built(name):
        for version in ("1.30", "1.37"):
            kubernetes_validate.validate(found, version, strict=True)
        if "template" in found.get("spec", {}):
            assert not list(restricted.faults(found["spec"]["template"]["spec"]))


@needs_kubectl
def test_the_plain_manifests_are_in_their_namespace() -> None:
    """Everything but the namespace itself is in askd, and nothing of Helm is left."""
    found = built("plain")
    assert {each["metadata"].get("namespace") for each in found if each["kind"] != "Namespace"} == {"askd"}
    assert "helm" not in json.dumps(found).lower()


def test_the_local_cluster_maps_what_make_up_asks_for() -> None:
    """kind.yaml maps the node ports of askd and of Prometheus to localhost."""
    (kind,) = documents(K8S / "kind.yaml")
    mapped = {port["containerPort"]: port["hostPort"] for port in kind["nodes"][0]["extraPortMappings"]}
    script = (K8S / "up.sh").read_text("utf-8")
    assert f"service.nodePort={30024}" in script
    service = documents(K8S / "prometheus" / "server.yaml")[1]
    assert mapped == {30024: 2024, service["spec"]["ports"][0]["nodePort"]: 9090}


@pytest.mark.parametrize("script", ["up.sh", "down.sh"])
@pytest.mark.parametrize("context", ["production", "gke_project_zone_name", "arn:aws:eks:eu:1:cluster/a", "not-kind-a"])
def test_a_foreign_cluster_is_refused(tmp_path: Path, script: str, context: str) -> None:
    """Nothing is done to a cluster that is not on this machine."""
    done = called(tmp_path, script, context)
    assert done.returncode == 1
    assert f"The current context is {context}" in done.stderr
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("context", ["kind-askd", "minikube", "k3d-a", "docker-desktop", "orbstack", "colima"])
def test_a_local_cluster_is_taken(tmp_path: Path, context: str) -> None:
    """`make down` goes on where the context is a local one."""
    called(tmp_path, "down.sh", context)
    assert "uninstall" in (tmp_path / "done").read_text()


def called(folder: Path, script: str, context: str) -> subprocess.CompletedProcess[str]:
    """Run a script with stand-ins for its tools: kubectl knows the context, and each writes down its call."""
    for tool in ("docker", "helm", "kind", "minikube", "kubectl"):
        answer = f'[[ $* == "config current-context" ]] && echo {context} && exit\n' if tool == "kubectl" else ""
        path = folder / tool
        path.write_text(f'#!/usr/bin/env bash\n{answer}echo "{tool} $*" >>{folder}/done\n')
        path.chmod(0o755)
    (folder / "done").unlink(missing_ok=True)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run([K8S / script], capture_output=True, text=True, check=False, env=environment)
    if script == "up.sh" and (folder / "done").exists():
        raise AssertionError((folder / "done").read_text())
    return done


def test_prometheus_takes_what_the_pods_are_annotated_with() -> None:
    """The annotations that the chart gives are those that Prometheus' configuration reads."""
    annotations = template({}).deployment["template"]["metadata"]["annotations"]
    text = (K8S / "prometheus" / "prometheus.yml").read_text("utf-8")
    read = set(re.findall(r"pod_annotation_(prometheus_io_\w+)", text))
    assert read == {re.sub(r"\W", "_", name) for name in annotations if name.startswith("prometheus.io/")}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_takes_its_configuration() -> None:
    """Promtool has nothing to say about it."""
    command = ["promtool", "check", "config", str(K8S / "prometheus" / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_load_asks_what_the_service_answers() -> None:
    """The Job asks the Service that the plain manifests make."""
    (job,) = documents(K8S / "load" / "job.yaml")
    services = [each for each in documents(K8S / "plain" / "askd.yaml") if each["kind"] == "Service"]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][0] == f"http://{services[1]['metadata']['name']}"
    assert FAST.kept + FAST.fresh > 0


@needs_skaffold
@pytest.mark.parametrize("profile", ["", "dev", "function", "langgraph"])
def test_skaffold_understands_its_file(profile: str) -> None:
    """`skaffold diagnose` takes the file with each profile, and each folder and Dockerfile that it names is there."""
    command = ["skaffold", "diagnose", "--yaml-only", *(("--profile", profile) if profile else ())]
    environment = {**os.environ, "KUBECONFIG": os.devnull, "SKAFFOLD_UPDATE_CHECK": "false"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for artifact in yaml.safe_load(done.stdout)["build"]["artifacts"]:
        folder = ROOT / artifact.get("context", ".")
        dockerfile = folder / artifact["docker"]["dockerfile"]
        assert dockerfile.is_file()
        target = artifact["docker"].get("target")
        assert target is None or f"AS {target}\n" in dockerfile.read_text("utf-8")


@needs_skaffold
def test_skaffold_renders_the_chart(tmp_path: Path) -> None:
    """`skaffold render` gives the chart's objects, with the image that was built."""
    builds = tmp_path / "builds.json"
    builds.write_text(json.dumps({"builds": [{"imageName": "askd", "tag": "askd:built"}]}))
    command = ["skaffold", "render", "--build-artifacts", str(builds), "--digest-source=tag"]
    environment = {**os.environ, "KUBECONFIG": os.devnull, "SKAFFOLD_UPDATE_CHECK": "false"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = [each for each in yaml.safe_load_all(done.stdout) if each]
    (deployment,) = [each for each in found if each["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "askd:built"


def test_the_values_for_development_are_taken() -> None:
    """What `skaffold dev` sets renders, with one replica that reloads."""
    rendered = template(documents(K8S / "dev" / "values.yaml")[0])
    assert (rendered.deployment["replicas"], rendered.env["ASKD_RELOAD"]) == (1, "true")
