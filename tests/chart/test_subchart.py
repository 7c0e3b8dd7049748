"""The chart within another chart."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.chart.manual import CHART
from tests.chart.render import HELMS, Rendered, run


@pytest.fixture
def umbrella(tmp_path: Path) -> Path:
    """Give a chart that depends on this one, under its own name and under another."""
    found = tmp_path / "site"
    (found / "charts").mkdir(parents=True)
    shutil.copytree(CHART, found / "charts" / "askd")
    dependency = {"name": "askd", "version": "0.1.0", "repository": ""}
    both = [{**dependency, "condition": "askd.enabled"}, {**dependency, "alias": "faq", "condition": "faq.enabled"}]
    text = {"apiVersion": "v2", "name": "site", "version": "1.0.0", "dependencies": both}
    (found / "Chart.yaml").write_text(yaml.safe_dump(text))
    return found


@pytest.mark.parametrize("helm", HELMS)
def test_it_works_as_a_dependency(umbrella: Path, helm: str) -> None:
    """Twice in one release, with globals and conditions, under different names."""
    values = {
        "global": {"imageRegistry": "mirror", "other": {"a": 1}},
        "faq": {"fullnameOverride": "faq", "enabled": True},
    }
    code, out, err = run(values, helm=helm, release="site", chart=umbrella)
    assert code == 0, err
    found = Rendered(each for each in yaml.safe_load_all(out) if each)
    assert {each["metadata"]["name"] for each in found.all("Deployment")} == {"site-askd", "faq"}
    assert all("mirror/askd" in str(each) for each in found.all("Deployment"))


@pytest.mark.parametrize("helm", HELMS)
def test_it_can_be_left_out(umbrella: Path, helm: str) -> None:
    """A condition that is false takes it out."""
    code, out, err = run({"faq": {"enabled": False}}, helm=helm, release="site", chart=umbrella)
    assert code == 0, err
    found = Rendered(each for each in yaml.safe_load_all(out) if each)
    assert [each["metadata"]["name"] for each in found.all("Deployment")] == ["site-askd"]


@pytest.mark.parametrize("helm", HELMS)
def test_a_slip_below_is_refused_too(umbrella: Path, helm: str) -> None:
    """The schema is closed within another chart as well."""
    code, _, err = run({"askd": {"replicas": 2}}, helm=helm, release="site", chart=umbrella)
    assert code != 0
    assert "replicas" in err
