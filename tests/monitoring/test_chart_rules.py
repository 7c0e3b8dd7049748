"""The chart's rules and dashboard are those of tests/rules/, with the values in their places."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.rules.dashboard import dashboard
from tests.rules.files import CHART, groups
from tests.rules.parameters import Parameters

CHART_FOLDER: Final = CHART.parent
HELM: Final = shutil.which("helm")
needs_helm = pytest.mark.skipif(
    HELM is None or not (CHART_FOLDER / "Chart.yaml").exists(), reason="helm is not installed, or there is no chart"
)
ON: Final = {"metrics": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}, "dashboards": {"enabled": True}}}
FLEET: Final = Parameters(
    selector='namespace="web",job=~"web/askd|askd-ops",',
    autoscaler='namespace="web",horizontalpodautoscaler=~"(keda-hpa-)?askd"',
)


def rendered(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the objects by kind; of ConfigMaps that of the dashboards."""
    given = folder / "values.json"
    given.write_text(json.dumps(values))
    command = [str(HELM), "template", "askd", str(CHART_FOLDER), "--namespace", "web", "--values", str(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {found["kind"]: found for found in yaml.safe_load_all(done.stdout) if found}


@needs_helm
def test_the_chart_has_the_same_rules(tmp_path: Path) -> None:
    """A PrometheusRule is what is made here for that fleet, to the letter."""
    assert rendered(ON, tmp_path)["PrometheusRule"]["spec"] == groups(FLEET)


@needs_helm
def test_the_objectives_are_values(tmp_path: Path) -> None:
    """What `slo` says is in every expression, alert and text; groups of one's own come after."""
    own = {"name": "mine", "rules": [{"alert": "Mine", "expr": "vector(1)"}]}
    rules = {"enabled": True, "groups": [own], "runbooks": "https://example.org/r/", "job": "j"}
    slo = {"availability": 99.5, "latency": {"objective": 95, "threshold": "1s"}}
    expected = groups(
        Parameters(
            availability="99.5",
            latency="95",
            threshold="1.0",
            selector='namespace="web",job=~"j",',
            autoscaler=FLEET.autoscaler,
            runbooks="https://example.org/r",
        )
    )
    found = rendered({"slo": slo, "metrics": {"rules": rules}}, tmp_path)["PrometheusRule"]["spec"]
    assert found["groups"] == [*expected["groups"], own]


@needs_helm
def test_the_chart_has_the_same_dashboard(tmp_path: Path) -> None:
    """The ConfigMap has the dashboard with the objectives' values, under the label that Grafana's sidecar looks for."""
    found = rendered(ON, tmp_path)["ConfigMap"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["askd.json"]) == json.loads(dashboard(Parameters()))
