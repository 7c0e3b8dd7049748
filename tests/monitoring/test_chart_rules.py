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
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "grafanaDashboard": {"enabled": True},
}
FLEET: Final = Parameters(
    selector='namespace="web",job=~"web/askd",',
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
    """Objectives, job, severities and URL of the runbooks are in the rules; additional groups follow."""
    extra_group = {"name": "mine", "rules": [{"alert": "Mine", "expr": "vector(1)"}]}
    values = {
        "slo": {"availability": 99.5, "latency": {"objective": "95", "threshold": "1s"}},
        "prometheusRule": {
            "enabled": True,
            "groups": [extra_group],
            "runbookUrl": "https://example.org/r/",
            "job": "j",
            "severities": {"critical": "p1", "warning": "p3"},
        },
    }
    expected = rule_groups(
        Parameters(
            availability="99.5",
            latency="95",
            threshold="1.0",
            selector='namespace="web",job=~"j",',
            autoscaler=FLEET.autoscaler,
            runbooks="https://example.org/r",
            critical="p1",
            warning="p3",
        )
    )
    spec = rendered(values, tmp_path)["PrometheusRule"]["spec"]
    assert spec["groups"] == [*expected["groups"], extra_group]


@needs_helm
def test_single_alerts_can_be_left_out(tmp_path: Path) -> None:
    """`prometheusRule.disabled` leaves out alerts, and `alertLabels` are on the others."""
    options = {"disabled": {"AskdDown": True, "AskdShedding": False}, "alertLabels": {"team": "answers"}}
    values = {**ENABLED, "prometheusRule": {"enabled": True, **options}}
    groups = rendered(values, tmp_path)["PrometheusRule"]["spec"]["groups"]
    alerts = {rule["alert"]: rule["labels"] for group in groups for rule in group["rules"] if "alert" in rule}
    everything = {rule.get("alert") for group in rule_groups(FLEET)["groups"] for rule in group["rules"]} - {None}
    assert everything - alerts.keys() == {"AskdDown"}
    assert {labels["team"] for labels in alerts.values()} == {"answers"}
    assert {labels["severity"] for labels in alerts.values()} == {"critical", "warning"}


@needs_helm
def test_the_chart_has_the_same_dashboard(tmp_path: Path) -> None:
    """The ConfigMap has the dashboard under a unique key, and the label that Grafana's sidecar looks for."""
    config_map = rendered(ENABLED, tmp_path)["ConfigMap"]
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    dashboard = json.loads(config_map["data"]["web-askd.json"])
    own = Parameters(uid=dashboard["uid"], title="askd: web/askd", namespace="web")
    assert dashboard == json.loads(render_dashboard(own))


@needs_helm
def test_dashboards_of_two_releases_differ(tmp_path: Path) -> None:
    """Two releases have dashboards with different keys, ids and titles."""
    maps = [rendered({**ENABLED, "fullnameOverride": name}, tmp_path)["ConfigMap"]["data"] for name in ("a", "b")]
    keys = [key for data in maps for key in data]
    dashboards = [json.loads(text) for data in maps for text in data.values()]
    assert len(set(keys)) == 2
    assert len({dashboard["uid"] for dashboard in dashboards}) == 2
    assert {dashboard["title"] for dashboard in dashboards} == {"askd: web/a", "askd: web/b"}
