"""The chart's rules and dashboard are those of tools/monitoring, with values instead of placeholders."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tools.monitoring.dashboard import render_dashboard
from tools.monitoring.generated_files import CHART_FILES, rule_groups
from tools.monitoring.parameters import Parameters

CHART_FOLDER: Final = CHART_FILES.parent
HELM: Final = shutil.which("helm")
needs_helm = pytest.mark.skipif(
    HELM is None or not (CHART_FOLDER / "Chart.yaml").exists(), reason="helm is not installed, or there is no chart"
)
ENABLED: Final = {
    "metrics": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}, "dashboards": {"enabled": True}}
}
FLEET: Final = Parameters(
    selector='namespace="web",job=~"web/askd|askd-ops",',
    autoscaler='namespace="web",horizontalpodautoscaler=~"(keda-hpa-)?askd"',
)


def rendered(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the rendered objects by kind; the last ConfigMap is the dashboard."""
    values_file = folder / "values.json"
    values_file.write_text(json.dumps(values))
    command = [str(HELM), "template", "askd", str(CHART_FOLDER), "--namespace", "web", "--values", str(values_file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return {document["kind"]: document for document in yaml.safe_load_all(result.stdout) if document}


@needs_helm
def test_the_chart_has_the_same_rules(tmp_path: Path) -> None:
    """The PrometheusRule equals the rules generated for that fleet."""
    assert rendered(ENABLED, tmp_path)["PrometheusRule"]["spec"] == rule_groups(FLEET)


@needs_helm
def test_the_objectives_are_values(tmp_path: Path) -> None:
    """The values of `slo` are in all expressions and texts; additional groups follow."""
    extra_group = {"name": "mine", "rules": [{"alert": "Mine", "expr": "vector(1)"}]}
    rules = {"enabled": True, "groups": [extra_group], "runbooks": "https://example.org/r/", "job": "j"}
    slo = {"availability": 99.5, "latency": {"objective": 95, "threshold": "1s"}}
    expected = rule_groups(
        Parameters(
            availability="99.5",
            latency="95",
            threshold="1.0",
            selector='namespace="web",job=~"j",',
            autoscaler=FLEET.autoscaler,
            runbooks="https://example.org/r",
        )
    )
    spec = rendered({"slo": slo, "metrics": {"rules": rules}}, tmp_path)["PrometheusRule"]["spec"]
    assert spec["groups"] == [*expected["groups"], extra_group]


@needs_helm
def test_the_chart_has_the_same_dashboard(tmp_path: Path) -> None:
    """The ConfigMap has the dashboard with the objectives, and the label that Grafana's sidecar looks for."""
    config_map = rendered(ENABLED, tmp_path)["ConfigMap"]
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config_map["data"]["askd.json"]) == json.loads(render_dashboard(Parameters()))
