"""The chart as a dependency of a parent chart."""

import shutil
from pathlib import Path

import pytest
import yaml

from askd import __version__
from tools.chart.helm import HELM_COMMANDS, RenderedChart, run_helm_template
from tools.chart.values_file import CHART_FOLDER

pytestmark = pytest.mark.parametrize("helm", HELM_COMMANDS)


@pytest.fixture
def parent_chart(tmp_path: Path) -> Path:
    """Return a chart that depends on this one twice: under its name and under an alias."""
    folder = tmp_path / "site"
    (folder / "charts").mkdir(parents=True)
    shutil.copytree(CHART_FOLDER, folder / "charts" / "askd")
    dependency = {"name": "askd", "version": __version__, "repository": ""}
    dependencies = [
        {**dependency, "condition": "askd.enabled"},
        {**dependency, "alias": "faq", "condition": "faq.enabled"},
    ]
    chart = {"apiVersion": "v2", "name": "site", "version": "1.0.0", "dependencies": dependencies}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(chart))
    return folder


def test_dependency_with_alias_and_globals(parent_chart: Path, helm: str) -> None:
    """One release can contain the chart twice, with global values and different names."""
    values = {
        "global": {"imageRegistry": "mirror", "other": {"a": 1}},
        "faq": {"fullnameOverride": "faq", "enabled": True},
    }
    code, output, errors = run_helm_template(values, helm=helm, release="site", chart=parent_chart)
    assert code == 0, errors
    rendered = RenderedChart(item for item in yaml.safe_load_all(output) if item)
    assert {deployment["metadata"]["name"] for deployment in rendered.of_kind("Deployment")} == {"site-askd", "faq"}
    assert all("mirror/askd" in str(deployment) for deployment in rendered.of_kind("Deployment"))


def test_aliases_share_no_selector(parent_chart: Path, helm: str) -> None:
    """Without names of their own, the two have different objects, and no selector matches pods of the other one."""
    values = {"global": {"commonLabels": {"team": "answers"}}}
    code, output, errors = run_helm_template(values, helm=helm, release="site", chart=parent_chart)
    assert code == 0, errors
    rendered = RenderedChart(item for item in yaml.safe_load_all(output) if item)
    names = [(item["kind"], item["metadata"]["name"]) for item in rendered]
    assert len(names) == len(set(names))
    pods = {
        item["metadata"]["name"]: item["spec"]["template"]["metadata"]["labels"]
        for item in rendered.of_kind("Deployment")
    }
    assert pods.keys() == {"site-askd", "site-faq"}
    assert all(labels["team"] == "answers" for labels in pods.values())
    for item in rendered:
        if selector := item.get("spec", {}).get("selector"):
            labels = selector.get("matchLabels", selector).items()
            matched = {name for name, pod in pods.items() if labels <= pod.items()}
            assert matched == {item["metadata"]["name"].removesuffix("-ops")}


def test_condition_disables_the_dependency(parent_chart: Path, helm: str) -> None:
    """A false condition leaves the dependency out."""
    code, output, errors = run_helm_template({"faq": {"enabled": False}}, helm=helm, release="site", chart=parent_chart)
    assert code == 0, errors
    rendered = RenderedChart(item for item in yaml.safe_load_all(output) if item)
    assert [deployment["metadata"]["name"] for deployment in rendered.of_kind("Deployment")] == ["site-askd"]


def test_unknown_value_of_the_dependency_is_rejected(parent_chart: Path, helm: str) -> None:
    """The schema also rejects unknown names in a parent chart."""
    for name in ("replicas", "replicaCounts"):
        code, _, errors = run_helm_template({"askd": {name: 2}}, helm=helm, release="site", chart=parent_chart)
        assert code != 0
        assert name in errors
