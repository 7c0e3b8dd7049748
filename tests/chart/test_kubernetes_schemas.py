"""Every object of every case is what Kubernetes takes, and safe."""

import functools
import json
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils
import pytest

from tests.chart import custom, restricted
from tests.chart.cases import CASES
from tests.chart.render import HELMS, template

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
_NAMED = {"env", "containers", "initContainers", "volumes", "ports", "volumeMounts", "imagePullSecrets"}
"""Lists whose entries have a name, or a mount path, and each once."""
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)
"""Else each object would read two megabytes of definitions again."""


@functools.lru_cache(maxsize=10_000)
def _validate(text: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(text), version, strict=True)


def _lists(found: Any, at: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yield the lists of named things in an object, with the name of the list."""
    if isinstance(found, dict):
        for key, inner in found.items():
            if key in _NAMED and isinstance(inner, list):
                yield f"{at}.{key}", inner
            yield from _lists(inner, f"{at}.{key}")
    elif isinstance(found, list):
        for inner in found:
            yield from _lists(inner, at)


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_valid(case: str) -> None:
    """Every object has the form that Kubernetes 1.30 to 1.37 gives it, with no field that they do not know."""
    for found in template(CASES[case]):
        if (found["apiVersion"], found["kind"]) in custom.SPECS:
            custom.validate(found)
            continue
        versions = VERSIONS[5:] if "tolerance" in json.dumps(found) and found["kind"] != "Deployment" else VERSIONS
        for version in versions:
            _validate(json.dumps(found, sort_keys=True), version)


@pytest.mark.parametrize("case", CASES)
def test_both_helms_make_the_same_objects(case: str) -> None:
    """Helm 3 and Helm 4 render the same manifests."""
    assert len({json.dumps(template(CASES[case], helm=helm)) for helm in HELMS}) == 1


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_restricted(case: str) -> None:
    """Every pod keeps the Pod Security standard `restricted`, has a read-only root and no token."""
    rendered = template(CASES[case])
    for pod in [rendered.pod, *(found["spec"] for found in rendered.all("Pod"))]:
        assert not list(restricted.faults(pod))
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in pod["containers"])


def test_the_check_of_restriction_sees_faults() -> None:
    """A pod without any care has every fault that the standard knows."""
    pod = {
        "hostNetwork": True,
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
        "containers": [{"name": "a", "securityContext": {"privileged": True}, "ports": [{"hostPort": 80}]}],
    }
    assert len(list(restricted.faults(pod))) == 8


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_named_twice(case: str) -> None:
    """Lists that Kubernetes merges by a key have each key once: Helm 4 refuses the rest."""
    for found in template(CASES[case]):
        for where, entries in _lists(found):
            keys = [entry.get("mountPath") or entry.get("name") or json.dumps(entry) for entry in entries]
            assert len(keys) == len(set(keys)), f"{found['kind']}{where}: {keys}"


@pytest.mark.parametrize("case", CASES)
def test_every_object_has_the_usual_labels(case: str) -> None:
    """What the chart itself makes can be found by app.kubernetes.io/name and instance, in the release's namespace."""
    extra = {"one", "askd-two"}
    for found in template(CASES[case]):
        if found["metadata"]["name"] not in extra:
            labels = found["metadata"]["labels"]
            assert labels["app.kubernetes.io/name"] == ("answers" if case == "names" else "askd")
            assert labels["app.kubernetes.io/instance"] == "askd"
            assert found["metadata"]["namespace"] == "here"
