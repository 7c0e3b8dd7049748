"""The dashboard: what Grafana needs of it, and that each of its expressions has something to show."""

import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.metrics import live
from tests.rules import prometheus
from tests.rules.alerts import alerts
from tests.rules.board import board, filled_all, fleet
from tests.rules.dashboard import WIDTH, expressions
from tests.rules.parameters import Parameters
from tests.rules.prometheus import Prometheus
from tests.rules.recording import recording

SCREEN = 26
"""Rows of Grafana's grid that a screen of 1080 lines shows."""
ELSEWHERE = re.compile(r"kube_horizontalpodautoscaler_\w+")
NAME = re.compile(r"\b(?:askd|process)_\w+|kube_\w+")
needs_prometheus = pytest.mark.skipif(
    prometheus.PROGRAM is None, reason="prometheus is not installed (Debian: apt-get install prometheus)"
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Prometheus]:
    """Give a Prometheus that has scraped a fleet under load."""
    async with fleet(tmp_path) as found:
        yield found


@needs_prometheus
async def test_every_expression_has_something_to_show(server: Prometheus) -> None:
    """After a real load each panel's and annotation's expression returns numbers from the real Prometheus."""
    empty = [where for where, found in filled_all(window="5s").items() if not _numbers(await server.query(found))]
    assert empty == []


def _numbers(result: list[dict[str, Any]]) -> list[float]:
    values = [float(series["value"][1]) for series in result]
    return [value for value in values if not math.isnan(value)]


def test_what_is_asked_for_exists() -> None:
    """Every metric in a rule, an alert or a panel is exposed by a running askd, or is kube-state-metrics'."""
    exposed = live.names(live.scraped())
    rules = [rule["expr"] for rule in recording(Parameters())]
    texts = [*rules, *(alert.expr for alert in alerts(Parameters())), *expressions(board()).values()]
    own = {name for text in texts for name in NAME.findall(re.sub(r"job:\w+:\w+", "", text))}
    assert len(own) > 20
    assert {name for name in own if not ELSEWHERE.fullmatch(name)} <= exposed


def test_recorded_series_are_recorded() -> None:
    """An alert uses no recorded series that no rule records."""
    used = {name for alert in alerts(Parameters()) for name in re.findall(r"job:\w+:\w+", alert.expr)}
    assert used == {rule["record"] for rule in recording(Parameters())}


def test_it_belongs_nowhere() -> None:
    """No id, no uid, no data source of its own: a variable chooses Prometheus, for every query."""
    found = board()
    assert (found["id"], "uid" in found) == (None, False)
    uids = re.findall(r'"uid": "([^"]*)"', json.dumps(found))
    assert set(uids) == {"${datasource}"}
    assert [each["name"] for each in found["templating"]["list"]] == ["datasource", "namespace", "job"]


def test_grafana_can_read_it() -> None:
    """Grafana's own types take the dashboard, and lose nothing but what belongs to Prometheus' plugin and defaults."""
    sdk = pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is not installed (make picture)")
    from grafana_foundation_sdk.cog import encoder, plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    assert sdk
    plugins.register_default_plugins()
    read = json.loads(encoder.JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board())))
    assert set(_lost(board(), read)) == {"id", "definition", "step", "titleFormat", "textFormat", "mode"}


def _lost(given: Any, read: Any) -> Iterator[str]:
    """Yield the keys whose values are not what they were."""
    for key, value in given.items() if isinstance(given, dict) else enumerate(given):
        if isinstance(given, dict) and key not in read:
            yield str(key)
        elif isinstance(value, dict | list):
            yield from _lost(value, read[key])
        elif read[key] != value:
            yield f"{key}: {value!r} became {read[key]!r}"


def test_it_is_one_screen() -> None:
    """The panels fill the width, row by row, without overlap, and end where a screen does."""
    places = [[panel["gridPos"][key] for key in "xywh"] for panel in board()["panels"]]
    cells = [(x + right, y + down) for x, y, w, h in places for right in range(w) for down in range(h)]
    assert len(cells) == len(set(cells))
    depth = max(y for _, y in cells) + 1
    assert (len(cells), depth <= SCREEN) == (WIDTH * depth, True)


def test_panels_can_be_told_apart() -> None:
    """Each panel has an id and a title of its own, each of its queries a letter."""
    panels = board()["panels"]
    for key in ("id", "title"):
        assert len({panel[key] for panel in panels}) == len(panels)
    assert all(len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) for panel in panels)
