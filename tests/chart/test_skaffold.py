"""skaffold.yaml: its profiles, the values and the image that it uses, and the chart that it renders."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.chart.test_k8s_manifests import K8S, ROOT, read_documents
from tools.chart.helm import render_chart

needs_skaffold = pytest.mark.skipif(not shutil.which("skaffold"), reason="skaffold is not installed")


def test_development_image_has_one_name() -> None:
    """`make up` and `make image` give the name askd:dev only to the target that `skaffold dev` of a project needs."""
    script, makefile = (K8S / "up.sh").read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")
    assert re.findall(r".*--tag askd:dev.*", script) == ["docker build --quiet --target dev --tag askd:dev ."]
    assert "tag=askd:$$target" in makefile


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
