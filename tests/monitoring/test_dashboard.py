"""The dashboard: its structure, and that each of its expressions returns data."""

import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.docs_metrics import live_scrape
from tools.monitoring import prometheus_server
from tools.monitoring.alerts import all_alerts
from tools.monitoring.dashboard import WIDTH, expressions
from tools.monitoring.dashboard_expressions import filled_expressions, read_dashboard
from tools.monitoring.loaded_fleet import loaded_fleet
from tools.monitoring.parameters import Parameters
from tools.monitoring.prometheus_server import PrometheusServer
from tools.monitoring.recording_rules import recording_rules

SCREEN = 26
"""Rows of Grafana's grid on a screen of 1080 lines."""
EXTERNAL_METRIC = re.compile(r"kube_horizontalpodautoscaler_\w+")
METRIC_NAME = re.compile(r"\b(?:askd|process|http_server)_\w+|kube_\w+")
needs_prometheus = pytest.mark.skipif(
    prometheus_server.PROMETHEUS_BINARY is None,
    reason="prometheus is not installed (Debian: apt-get install prometheus)",
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PrometheusServer]:
    """Run a Prometheus that has scraped a fleet under load."""
    async with loaded_fleet(tmp_path) as prometheus:
        yield prometheus


@needs_prometheus
@pytest.mark.slow
async def test_every_expression_returns_data(server: PrometheusServer) -> None:
    """After a real load, each expression of a panel or annotation returns numbers."""
    expressions_by_name = filled_expressions(window="5s").items()
    empty = [name for name, expression in expressions_by_name if not _numbers(await server.query(expression))]
    assert empty == []


def _numbers(result: list[dict[str, Any]]) -> list[float]:
    values = [float(series["value"][1]) for series in result]
    return [value for value in values if not math.isnan(value)]


@pytest.mark.slow
def test_queried_metrics_exist() -> None:
    """Every metric in a rule, an alert or a panel is exposed by a running askd, or by kube-state-metrics."""
    exposed = live_scrape.sample_names(live_scrape.scrape_blocking())
    rules = [rule["expr"] for rule in recording_rules(Parameters())]
    texts = [*rules, *(alert.expr for alert in all_alerts(Parameters())), *expressions(read_dashboard()).values()]
    queried = {name for text in texts for name in METRIC_NAME.findall(re.sub(r"job:\w+:\w+", "", text))}
    assert len(queried) > 20
    assert {name for name in queried if not EXTERNAL_METRIC.fullmatch(name)} <= exposed


def test_dashboard_can_be_imported_anywhere() -> None:
    """The id is missing, and a variable chooses the data source of every query."""
    dashboard = read_dashboard()
    assert (dashboard["id"], dashboard.pop("uid")) == (None, "askd")
    uids = re.findall(r'"uid": "([^"]*)"', json.dumps(dashboard))
    assert set(uids) == {"${datasource}"}


def test_objectives_are_variables() -> None:
    """The objectives are text fields with the defaults, and no expression contains a number of them."""
    variables = {variable["name"]: variable for variable in read_dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "job", "availability", "latency", "threshold"]
    objectives = [variables[name]["current"]["value"] for name in ("availability", "latency", "threshold")]
    assert objectives == ["99.9", "99", "0.25"]
    texts = list(expressions(read_dashboard()).values())
    assert not any("99.9" in text or '"0.25"' in text for text in texts)
    assert sum("$threshold" in text for text in texts) == 2


def test_alerts_are_those_of_the_selected_fleets() -> None:
    """The panel counts alerts of the selected namespaces and jobs."""
    (expression,) = [text for text in expressions(read_dashboard()).values() if "ALERTS" in text]
    assert 'namespace=~"$namespace",job=~"$job|"' in expression


def test_grafana_can_read_it() -> None:
    """Grafana's SDK parses the dashboard, and loses only members of the Prometheus plugin and defaults."""
    sdk = pytest.importorskip(
        "grafana_foundation_sdk", reason="grafana-foundation-sdk is not installed (make dashboard-picture)"
    )
    from grafana_foundation_sdk.cog import encoder, plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    assert sdk
    plugins.register_default_plugins()
    parsed = json.loads(encoder.JSONEncoder(sort_keys=True).encode(Dashboard.from_json(read_dashboard())))
    assert set(_lost_members(read_dashboard(), parsed)) == {
        "id",
        "definition",
        "step",
        "titleFormat",
        "textFormat",
        "mode",
    }


def _lost_members(original: Any, parsed: Any) -> Iterator[str]:
    """Yield the keys that are missing or have changed."""
    for key, value in original.items() if isinstance(original, dict) else enumerate(original):
        if isinstance(original, dict) and key not in parsed:
            yield str(key)
        elif isinstance(value, dict | list):
            yield from _lost_members(value, parsed[key])
        elif parsed[key] != value:
            yield f"{key}: {value!r} became {parsed[key]!r}"


def test_panels_fill_one_screen() -> None:
    """The panels fill the width without overlap, and fit on one screen."""
    positions = [[panel["gridPos"][key] for key in "xywh"] for panel in read_dashboard()["panels"]]
    cells = [(x + right, y + down) for x, y, w, h in positions for right in range(w) for down in range(h)]
    assert len(cells) == len(set(cells))
    rows = max(y for _, y in cells) + 1
    assert (len(cells), rows <= SCREEN) == (WIDTH * rows, True)


def test_panels_are_distinct() -> None:
    """Ids and titles of panels are unique, as are the letters of queries within a panel."""
    panels = read_dashboard()["panels"]
    for key in ("id", "title"):
        assert len({panel[key] for panel in panels}) == len(panels)
    assert all(len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) for panel in panels)
