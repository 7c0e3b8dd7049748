"""The Grafana dashboard as JSON. Id and data source are left open, so it can be imported anywhere."""

import json
from collections.abc import Iterator
from typing import Any, Final

from tools.monitoring.dashboard_panels import DATASOURCE, Panel, panels, select
from tools.monitoring.parameters import Parameters

GRAFANA_SCHEMA_VERSION: Final = 41
"""Schema of Grafana 12. Earlier versions ignore unknown members, later ones migrate it."""
WIDTH: Final = 24
"""Columns of Grafana's grid."""
_REPLICA: Final = "namespace, job, instance"
ANNOTATIONS: Final = {
    "Starts": (
        "green",
        "{{instance}} started",
        f"time() - {select('process_start_time_seconds')} < 60\nand on ({_REPLICA})\n{select('askd_build_info')}",
    ),
    "Rollouts": (
        "blue",
        "{{version}} is served",
        "group by (namespace, job, version) ({0})\nunless\ngroup by (namespace, job, version) ({0} offset 5m)".format(
            select("askd_answerer_info")
        ),
    ),
    "Drains": ("orange", "{{instance}} drains", f"{select('askd_draining')} == 1"),
}
"""Vertical lines across the panels: colour, text and expression by name."""


def render_dashboard(parameters: Parameters) -> str:
    """Return the dashboard as JSON."""
    dashboard = {
        "id": None,
        "uid": parameters.uid,
        "title": parameters.title,
        "tags": ["askd"],
        "description": "Requests: rates, errors, latency, queue, answerer, cache and replicas.",
        "schemaVersion": GRAFANA_SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_annotation(name) for name in ANNOTATIONS]},
        "templating": {"list": _variables(parameters)},
        "panels": list(_positioned_panels(panels())),
    }
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def expressions(dashboard: dict[str, Any]) -> dict[str, str]:
    """Return all expressions of a dashboard by panel and legend, or by the name of the annotation."""
    targets = {
        f"{panel['title']}: {target['legendFormat']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    annotations = {annotation["name"]: annotation["expr"] for annotation in dashboard["annotations"]["list"]}
    return targets | annotations


def _annotation(name: str) -> dict[str, Any]:
    colour, text, expression = ANNOTATIONS[name]
    common = {"name": name, "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": colour}
    return common | {"expr": expression, "step": "15s", "titleFormat": name, "textFormat": text}


def _variables(parameters: Parameters) -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    return [
        source,
        _label_variable("namespace", "askd_build_info", parameters.namespace),
        _label_variable("job", 'askd_build_info{namespace=~"$namespace"}'),
        _objective_variable("availability", "Availability objective (%)", parameters.availability),
        _objective_variable("latency", "Latency objective (%)", parameters.latency),
        _objective_variable("threshold", "Latency threshold (s)", parameters.threshold),
    ]


def _label_variable(label: str, series: str, selected: str = "") -> dict[str, Any]:
    """Return a variable for the values of a label. "All" also matches series without the label."""
    query = f"label_values({series}, {label})"
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": label},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": [selected or "All"], "value": [selected or "$__all"]},
        "hide": 0,
    }


def _objective_variable(name: str, label: str, value: str) -> dict[str, Any]:
    """Return a text field for an objective."""
    option = {"text": value, "value": value, "selected": True}
    common = {"name": name, "label": label, "type": "textbox", "query": value, "hide": 0}
    return common | {"current": option, "options": [option]}


def _positioned_panels(rows: list[list[Panel]]) -> Iterator[dict[str, Any]]:
    number = top = 0
    for row in rows:
        left = 0
        for panel in row:
            number += 1
            position = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": position} | _panel(panel)
            left += panel.width
        top += max(panel.height for panel in row)


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "expr": expression,
            "legendFormat": name,
            "format": "heatmap" if panel.kind == "heatmap" else "time_series",
            "range": True,
        }
        for number, (name, expression) in enumerate(panel.queries.items())
    ]
    common = {"title": panel.title, "type": panel.kind, "datasource": DATASOURCE, "description": panel.help}
    return common | {"targets": targets, "options": _options(panel), "fieldConfig": _fields(panel)}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "heatmap":
        colours = {"mode": "scheme", "scheme": "Oranges", "steps": 64, "scale": "exponential", "exponent": 0.5}
        return {"calculate": False, "color": colours, "yAxis": {"unit": panel.unit}, "tooltip": {"mode": "single"}}
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "area"}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _fields(panel: Panel) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.thresholds]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults |= {"min": 0, "custom": {"fillOpacity": 20 if panel.stacked else 0, "stacking": stacking}}
    return {
        "defaults": defaults,
        "overrides": [_objective_override(panel.objective_series)] if panel.objective_series else [],
    }


def _objective_override(name: str) -> dict[str, Any]:
    style = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}}
    colour = {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}}
    return {"matcher": {"id": "byName", "options": name}, "properties": [style, colour]}
