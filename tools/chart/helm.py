"""Charts rendered by the real Helms, each rendering made once."""

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

from tests.chart.manual import CHART

HELMS: Final = tuple(name for name in ("helm", "helm3") if shutil.which(name))
"""What is installed: `helm` is version 4 or 3; `helm3` version 3, where both are."""
NEWEST: Final = "1.37.0"
Object = dict[str, Any]
Values = Mapping[str, Any]


class Rendered(tuple[Object, ...]):
    """The objects of one rendering."""

    __slots__ = ()

    def all(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        return [found for found in self if found["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        """Return the only object of a kind, or the one with this name."""
        found = [each for each in self.all(kind) if name in {None, each["metadata"]["name"]}]
        assert len(found) == 1, f"{len(found)} {kind} {name or ''}"
        return found[0]

    @property
    def deployment(self) -> Object:
        """The specification of the Deployment."""
        spec: Object = self.one("Deployment")["spec"]
        return spec

    @property
    def pod(self) -> Object:
        """The specification of its pods."""
        spec: Object = self.deployment["template"]["spec"]
        return spec

    @property
    def container(self) -> Object:
        """Askd's own container."""
        return next(found for found in self.pod["containers"] if found["name"] == "askd")

    @property
    def env(self) -> dict[str, Any]:
        """Its variables; what comes from elsewhere as the reference."""
        return {found["name"]: found.get("value", found.get("valueFrom")) for found in self.container["env"]}


def template(
    values: Values, *, helm: str = HELMS[0] if HELMS else "helm", release: str = "askd", kube: str = NEWEST
) -> Rendered:
    """Return what a Helm renders. Raises AssertionError with Helm's words where it refuses."""
    code, out, err = run(values, helm=helm, release=release, kube=kube)
    assert code == 0, err
    return Rendered(found for found in yaml.load_all(out, _Strict) if found)


def refusal(values: Values, *, helm: str, kube: str = NEWEST) -> str:
    """Return how a Helm refuses these values. Raises AssertionError where it takes them."""
    code, _, told = run(values, helm=helm, kube=kube)
    assert code != 0, "these values were taken"
    return str(told)


def run(values: Values, *, helm: str, release: str = "askd", kube: str = NEWEST, chart: Path = CHART) -> Sequence[Any]:
    """Run `helm template`; return exit code, output and errors."""
    return _run(json.dumps(values, sort_keys=True), helm, release, kube, str(chart))


@functools.lru_cache(maxsize=1000)
def _run(values: str, helm: str, release: str, kube: str, chart: str) -> tuple[int, str, str]:
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
            kube,
            "--values",
            file.name,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    return done.returncode, done.stdout, done.stderr


def environment() -> dict[str, str]:
    """Return variables without a cluster: what is rendered must not depend on one."""
    return {**os.environ, "KUBECONFIG": os.devnull}


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's own signature
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"line {node.start_mark.line + 1}: a key stands twice: {sorted(keys)}"
        return super().construct_mapping(node, deep)
