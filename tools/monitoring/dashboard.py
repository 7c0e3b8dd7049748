"""The dashboard, as Grafana reads it: without an id, a uid or a data source of its own, to be put anywhere."""

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.rules.panels import SOURCE, Panel, of, panels
from tests.rules.parameters import Parameters

SCHEMA: Final = 41
"""That of Grafana 12; earlier ones read what they know of it, later ones migrate it."""
WIDTH: Final = 24
_REPLICA: Final = "namespace, job, instance"
ANNOTATIONS: Final = {
    "Starts": (
        "green",
        "{{instance}} began",
        f"time() - {of('process_start_time_seconds')} < 60\nand on ({_REPLICA})\n{of('askd_build_info')}",
    ),
    "Rollouts": (
        "blue",
        "{{version}} is served",
        "group by (namespace, job, version) ({0})\nunless\ngroup by (namespace, job, version) ({0} offset 5m)".format(
            of("askd_answerer_info")
        ),
    ),
    "Drains": ("orange", "{{instance}} drains", f"{of('askd_draining')} == 1"),
}
"""What is drawn across the panels: colour, text and expression by name."""


def dashboard(parameters: Parameters) -> str:
    """Return the dashboard as JSON."""
    board = {
        "id": None,
        "title": "askd",
        "tags": ["askd"],
        "description": "The exchange: asked, answered or refused, how long it took, and what was waited for.",
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_annotation(name) for name in ANNOTATIONS]},
        "templating": {"list": _variables()},
        "panels": list(_placed(panels(parameters))),
    }
    return json.dumps(board, indent=2, ensure_ascii=False) + "\n"


def expressions(board: dict[str, Any]) -> dict[str, str]:
    """Return every expression of a dashboard by where it stands."""
    targets = {
        f"{panel['title']}: {target['legendFormat']}": target["expr"]
        for panel in board["panels"]
        for target in panel["targets"]
    }
    return targets | {found["name"]: found["expr"] for found in board["annotations"]["list"]}


def _annotation(name: str) -> dict[str, Any]:
    colour, text, expression = ANNOTATIONS[name]
    common = {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": colour}
    return common | {"expr": expression, "step": "15s", "titleFormat": name, "textFormat": text}


def _variables() -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    return [source, _chosen("namespace", "askd_build_info"), _chosen("job", 'askd_build_info{namespace=~"$namespace"}')]


def _chosen(label: str, series: str) -> dict[str, Any]:
    """Return a variable for the values of a label. All matches series without the label, too."""
    query = f"label_values({series}, {label})"
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": label},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def _placed(rows: list[list[Panel]]) -> Iterator[dict[str, Any]]:
    """Yield the panels, row by row."""
    number = top = 0
    for row in rows:
        left = 0
        for panel in row:
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place} | _panel(panel)
            left += panel.width
        top += max(panel.height for panel in row)


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": SOURCE,
            "expr": expression,
            "legendFormat": name,
            "format": "heatmap" if panel.kind == "heatmap" else "time_series",
            "range": True,
        }
        for number, (name, expression) in enumerate(panel.queries.items())
    ]
    shown = {"title": panel.title, "type": panel.kind, "datasource": SOURCE, "description": panel.help}
    return shown | {"targets": targets, "options": _options(panel), "fieldConfig": _fields(panel)}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "heatmap":
        colours = {"mode": "scheme", "scheme": "Oranges", "steps": 64, "scale": "exponential", "exponent": 0.5}
        return {"calculate": False, "color": colours, "yAxis": {"unit": panel.unit}, "tooltip": {"mode": "single"}}
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "area"}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _fields(panel: Panel) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.steps]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults |= {"min": 0, "custom": {"fillOpacity": 20 if panel.stacked else 0, "stacking": stacking}}
    return {"defaults": defaults, "overrides": [_line(panel.line)] if panel.line else []}


def _line(name: str) -> dict[str, Any]:
    style = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}}
    colour = {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}}
    return {"matcher": {"id": "byName", "options": name}, "properties": [style, colour]}
