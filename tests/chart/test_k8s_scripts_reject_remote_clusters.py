"""k8s/up.sh and k8s/down.sh accept only local clusters."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.chart.test_k8s_manifests import K8S


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
