"""The expressions of the generated dashboard, with Grafana's variables replaced."""

import json
from typing import Any, Final

from tools.monitoring.dashboard import expressions
from tools.monitoring.generated_files import RULES_FILE
from tools.monitoring.parameters import Parameters

DASHBOARD_FILE: Final = RULES_FILE.with_name("dashboard.json")


def read_dashboard() -> dict[str, Any]:
    """Return the parsed dashboard file."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD_FILE.read_text(encoding="utf-8"))
    return dashboard


def fill_variables(expression: str, *, window: str) -> str:
    """Replace Grafana's variables: select everything, use `window` for all intervals, and the default objectives."""
    values = {"$__rate_interval": window, "$__range": window, "$namespace": ".*", "$job": ".*"}
    defaults = Parameters()
    values |= {f"${name}": getattr(defaults, name) for name in ("availability", "latency", "threshold")}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def filled_expressions(*, window: str) -> dict[str, str]:
    """Return all expressions of the dashboard with their variables replaced."""
    return {name: fill_variables(expr, window=window) for name, expr in expressions(read_dashboard()).items()}
