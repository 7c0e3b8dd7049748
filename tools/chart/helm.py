"""Renderings of the chart by the installed Helm versions; each one is cached."""

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tools.chart.values_file import CHART_FOLDER

HELM_COMMANDS: Final = tuple(name for name in ("helm", "helm3") if shutil.which(name))
"""The installed Helm commands: `helm` is version 4 or 3; if both versions are installed, `helm3` is version 3."""
KUBERNETES_VERSION: Final = "1.37.0"
KubernetesObject = dict[str, Any]
Values = Mapping[str, Any]


class RenderedChart(tuple[KubernetesObject, ...]):
    """The objects of one rendering."""

    __slots__ = ()

    def of_kind(self, kind: str) -> list[KubernetesObject]:
        """Return the objects of a kind."""
        return [item for item in self if item["kind"] == kind]

    def only(self, kind: str, name: str | None = None) -> KubernetesObject:
        """Return the only object of a kind, or the only one with this name."""
        items = [item for item in self.of_kind(kind) if name in {None, item["metadata"]["name"]}]
        assert len(items) == 1, f"{len(items)} {kind} {name or ''}"
        return items[0]

    @property
    def deployment_spec(self) -> KubernetesObject:
        """Spec of the Deployment."""
        spec: KubernetesObject = self.only("Deployment")["spec"]
        return spec

    @property
    def pod_spec(self) -> KubernetesObject:
        """Spec of the Deployment's pods."""
        spec: KubernetesObject = self.deployment_spec["template"]["spec"]
        return spec

    @property
    def askd_container(self) -> KubernetesObject:
        """The container of askd."""
        return next(container for container in self.pod_spec["containers"] if container["name"] == "askd")

    @property
    def environment(self) -> dict[str, Any]:
        """Environment variables of askd by name; a variable without a value is its `valueFrom`."""
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in self.askd_container["env"]}


def render_chart(
    values: Values,
    *,
    helm: str = HELM_COMMANDS[0] if HELM_COMMANDS else "helm",
    release: str = "askd",
    kube_version: str = KUBERNETES_VERSION,
) -> RenderedChart:
    """Return the rendered objects. Raises AssertionError with Helm's error if it rejects the values."""
    code, output, errors = run_helm_template(values, helm=helm, release=release, kube_version=kube_version)
    assert code == 0, errors
    return RenderedChart(item for item in yaml.load_all(output, _UniqueKeyLoader) if item)


def render_error(values: Values, *, helm: str, kube_version: str = KUBERNETES_VERSION) -> str:
    """Return the error with which Helm rejects the values. Raises AssertionError if it accepts them."""
    code, _, errors = run_helm_template(values, helm=helm, kube_version=kube_version)
    assert code != 0, "these values were accepted"
    return str(errors)


def run_helm_template(
    values: Values,
    *,
    helm: str,
    release: str = "askd",
    kube_version: str = KUBERNETES_VERSION,
    chart: Path = CHART_FOLDER,
) -> Sequence[Any]:
    """Run `helm template` in the namespace `here`. Returns the exit code, the output and the errors."""
    return _run_cached(json.dumps(values, sort_keys=True), helm, release, kube_version, str(chart))


@functools.lru_cache(maxsize=1000)
def _run_cached(values: str, helm: str, release: str, kube_version: str, chart: str) -> tuple[int, str, str]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(values)
        file.flush()
        command = [
            helm,
            "template",
            release,
            chart,
            "--namespace",
            "here",
            "--kube-version",
            kube_version,
            "--values",
            file.name,
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=clusterless_environment())
    return result.returncode, result.stdout, result.stderr


def clusterless_environment() -> dict[str, str]:
    """Return the environment without a cluster, on which a rendering must not depend."""
    return {**os.environ, "KUBECONFIG": os.devnull}


class _UniqueKeyLoader(yaml.SafeLoader):
    """Rejects mappings with a duplicate key, of which PyYAML would use the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's own signature
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"line {node.start_mark.line + 1}: duplicate key in {sorted(keys)}"
        return super().construct_mapping(node, deep)
