"""Every object of every case is valid for Kubernetes 1.30 to 1.37 and follows Pod Security `restricted`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart import pod_security, resource_schemas
from tests.chart.valid_values import VALID_VALUES
from tools.chart.helm import HELM_COMMANDS, render_chart

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
_MERGED_LISTS = {"env", "containers", "initContainers", "volumes", "ports", "volumeMounts", "imagePullSecrets"}
"""Lists that Kubernetes merges by the name or mount path of their items."""


def _merged_lists(value: Any, path: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yield path and items of each merged list in an object."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key in _MERGED_LISTS and isinstance(child, list):
                yield f"{path}.{key}", child
            yield from _merged_lists(child, f"{path}.{key}")
    elif isinstance(value, list):
        for child in value:
            yield from _merged_lists(child, path)


@pytest.mark.parametrize("case", VALID_VALUES)
def test_every_object_is_valid(case: str) -> None:
    """Every object is valid in each supported version of Kubernetes, without unknown fields."""
    for item in render_chart(VALID_VALUES[case]):
        versions = VERSIONS[5:] if "tolerance" in json.dumps(item) and item["kind"] != "Deployment" else VERSIONS
        for version in versions:
            resource_schemas.validate_resource(item, version)


@pytest.mark.parametrize("case", VALID_VALUES)
def test_helm_3_and_4_render_the_same(case: str) -> None:
    """Helm 3 and Helm 4 render the same manifests."""
    assert len({json.dumps(render_chart(VALID_VALUES[case], helm=helm)) for helm in HELM_COMMANDS}) == 1


@pytest.mark.parametrize("case", VALID_VALUES)
def test_every_pod_is_restricted(case: str) -> None:
    """Every pod follows Pod Security `restricted` and has a read-only root and no service account token."""
    rendered = render_chart(VALID_VALUES[case])
    for pod in [rendered.pod_spec, *(item["spec"] for item in rendered.of_kind("Pod"))]:
        assert not list(pod_security.violations(pod))
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in pod["containers"])


def test_pod_security_check_finds_violations() -> None:
    """A privileged pod has every violation that the check knows."""
    pod = {
        "hostNetwork": True,
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
        "containers": [{"name": "a", "securityContext": {"privileged": True}, "ports": [{"hostPort": 80}]}],
    }
    assert len(list(pod_security.violations(pod))) == 8


@pytest.mark.parametrize("case", VALID_VALUES)
def test_keys_of_merged_lists_are_unique(case: str) -> None:
    """Lists that Kubernetes merges by a key contain each key once; Helm 4 rejects duplicates."""
    for item in render_chart(VALID_VALUES[case]):
        for path, entries in _merged_lists(item):
            keys = [entry.get("mountPath") or entry.get("name") or json.dumps(entry) for entry in entries]
            assert len(keys) == len(set(keys)), f"{item['kind']}{path}: {keys}"


@pytest.mark.parametrize("case", VALID_VALUES)
def test_every_object_has_the_standard_labels(case: str) -> None:
    """Objects of the chart have the labels app.kubernetes.io/name and instance, and a namespace."""
    extra_objects = {"one", "askd-two"}
    for item in render_chart(VALID_VALUES[case]):
        if item["metadata"]["name"] not in extra_objects:
            labels = item["metadata"]["labels"]
            assert labels["app.kubernetes.io/name"] == ("answers" if case == "names" else "askd")
            assert labels["app.kubernetes.io/instance"] == "askd"
            namespaces = {"another namespace": {"there"}, "monitor in another namespace": {"here", "monitoring"}}
            assert item["metadata"]["namespace"] in namespaces.get(case, {"here"})
