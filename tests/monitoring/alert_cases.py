"""Cases for `promtool test rules`: series with which each alert fires, and series with which it does not."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from tools.monitoring.alerts import BURN_RATES
from tools.monitoring.recording_rules import REQUEST_DURATION

_FLEET: Final = 'namespace="web",job="askd",instance="a"'


def _requests(suffix: str, status: int, *, route: str = "/ask", extra: str = "") -> str:
    labels = f'{_FLEET},http_route="{route}",http_request_method="GET",http_response_status_code="{status}"{extra}'
    return f"{REQUEST_DURATION}_{suffix}{{{labels}}}"


_OK: Final = _requests("count", 200)
_FAILED: Final = _requests("count", 500)
_SHED_REQUESTS: Final = _requests("count", 503)
_CLIENT_LEFT: Final = _requests("count", 499)
_RATE_LIMITED: Final = _requests("count", 429)
_FAILED_PAGES: Final = _requests("count", 500, route="/docs")
_FAST: Final = _requests("bucket", 200, extra=',le="0.25"')
_LAG: Final = f"askd_event_loop_lag_seconds_sum{{{_FLEET}}}"
_LAG_COUNT: Final = f"askd_event_loop_lag_seconds_count{{{_FLEET}}}"
_READY: Final = f"askd_ready{{{_FLEET}}}"
_OTHER_READY: Final = _READY.replace('"a"', '"b"')
_CIRCUIT: Final = f'askd_upstream_circuit_state{{{_FLEET},state="closed"}}'
_OTHER_CIRCUIT: Final = _CIRCUIT.replace('"a"', '"b"')
_DROPPED: Final = f"askd_log_lines_dropped_total{{{_FLEET}}}"
_SHED: Final = f'askd_shed_total{{{_FLEET},reason="queue_full"}}'
_HPA: Final = 'namespace="web",horizontalpodautoscaler="askd",job="kube-state-metrics"'
_DESIRED: Final = f"kube_horizontalpodautoscaler_status_desired_replicas{{{_HPA}}}"
_MAXIMUM: Final = f"kube_horizontalpodautoscaler_spec_max_replicas{{{_HPA}}}"
_MINIMUM: Final = f"kube_horizontalpodautoscaler_spec_min_replicas{{{_HPA}}}"
_EXPIRY: Final = f"askd_tls_certificate_expiry_timestamp_seconds{{{_FLEET}}}"
_EXPIRES: Final = "AskdCertificateExpires"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlertCase:
    """Series in promtool's notation, one value per `step`, and whether the alert fires at `eval_time`."""

    alert: str
    fires: bool
    series: Mapping[str, str]
    eval_time: str
    severity: str = ""
    burn: str = ""
    description: str = ""

    @property
    def step(self) -> str:
        """Interval of values and evaluations. Longer for cases that last days, which would take minutes otherwise."""
        return "10m" if self.eval_time.endswith("d") else "1m"

    def promtool_test(self) -> dict[str, Any]:
        """Return the case in promtool's format."""
        labels = {"alertname": self.alert, "alertstate": "firing", "severity": self.severity, "burn": self.burn}
        matchers = ",".join(f'{label}="{value}"' for label, value in labels.items() if value)
        return {
            "name": f"{self.alert} {self.burn} {self.description}".strip(),
            "interval": self.step,
            "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
            "promql_expr_test": [
                {
                    "expr": f"count(ALERTS{{{matchers}}}) or vector(0)",
                    "eval_time": self.eval_time,
                    "exp_samples": [{"labels": "{}", "value": int(self.fires)}],
                }
            ],
        }


def _burn_rate_cases(alert: str, good: str, bad: str) -> list[AlertCase]:
    """Return the cases of one objective, with the counters of good and bad requests."""
    fast_burn, slow_burn = {"severity": "critical", "burn": "14.4x"}, {"severity": "critical", "burn": "6x"}
    days = {"severity": "warning", "burn": "1x"}

    def case(*, fires: bool, at: str, good_values: str, bad_values: str, description: str, **labels: str) -> AlertCase:
        return AlertCase(
            alert=alert,
            fires=fires,
            eval_time=at,
            description=description,
            series={good: good_values, bad: bad_values},
            **labels,
        )

    return [
        case(fires=True, at="1h", good_values="0+80x120", bad_values="0+20x120", description="fast burn", **fast_burn),
        case(
            fires=False,
            at="1h",
            good_values="0+9995x120",
            bad_values="0+5x120",
            description="within the objective",
            **fast_burn,
        ),
        case(
            fires=False,
            at="2h",
            good_values="0+80x60 4880+100x90",
            bad_values="0+20x60 1200x90",
            description="errors have ended",
            **fast_burn,
        ),
        case(fires=True, at="7h", good_values="0+920x500", bad_values="0+80x500", description="slow burn", **slow_burn),
        case(
            fires=False,
            at="7h",
            good_values="0+9995x500",
            bad_values="0+5x500",
            description="within the objective",
            **slow_burn,
        ),
        case(fires=True, at="3d", good_values="0+980x440", bad_values="0+20x440", description="for days", **days),
        case(
            fires=False,
            at="3d",
            good_values="0+9995x440",
            bad_values="0+5x440",
            description="within the objective",
            **days,
        ),
    ]


def _latency_cases() -> list[AlertCase]:
    """Return cases in which a share of the answers is slow."""
    labels = [{"severity": severity, "burn": f"{factor}x"} for factor, _, _, severity in BURN_RATES]
    cases = []
    for severity_and_burn, at, fast_percent, count in zip(
        labels, ("1h", "7h", "3d"), (80, 90, 98), (120, 500, 440), strict=True
    ):
        for fast, fires in ((fast_percent, True), (100, False)):
            series = {_OK: f"0+100x{count}", _FAST: f"0+{fast}x{count}"}
            cases.append(
                AlertCase(alert="AskdLatencyBudgetBurn", fires=fires, eval_time=at, series=series, **severity_and_burn)
            )
    return cases


def _file_cases(alert: str, file: str) -> list[AlertCase]:
    name = f"askd_{file}_last_reload_successful{{{_FLEET}}}"
    return [
        AlertCase(alert=alert, fires=True, eval_time="10m", series={name: "1 0x20"}),
        AlertCase(alert=alert, fires=False, eval_time="10m", series={name: "1 0x3 1x20"}, description="fixed soon"),
        AlertCase(
            alert=alert,
            fires=True,
            eval_time="10m",
            series={name: "1x20", name.replace('"a"', '"b"'): "1 0x20"},
            description="one of two",
        ),
    ]


ALERT_CASES: Final = [
    *_burn_rate_cases("AskdErrorBudgetBurn", _OK, _FAILED),
    AlertCase(
        alert="AskdErrorBudgetBurn",
        fires=True,
        severity="critical",
        burn="14.4x",
        eval_time="1h",
        description="shed requests count",
        series={_OK: "0+80x90", _SHED_REQUESTS: "0+20x90"},
    ),
    AlertCase(
        alert="AskdErrorBudgetBurn",
        fires=False,
        eval_time="1h",
        description="client errors and other routes",
        series={_OK: "0+80x90", _RATE_LIMITED: "0+20x90", _FAILED_PAGES: "0+20x90"},
    ),
    AlertCase(
        alert="AskdErrorBudgetBurn", fires=False, eval_time="1h", description="no requests", series={_OK: "0x90"}
    ),
    *_latency_cases(),
    AlertCase(alert="AskdDown", fires=True, eval_time="10m", description="no target", series={"up": "1x20"}),
    AlertCase(alert="AskdDown", fires=True, eval_time="10m", description="gone", series={_READY: "1x3 stale"}),
    AlertCase(
        alert="AskdDown",
        fires=True,
        eval_time="10m",
        description="no replica is ready",
        series={_READY: "0x20", _OTHER_READY: "0x20"},
    ),
    AlertCase(
        alert="AskdDown",
        fires=False,
        eval_time="10m",
        description="one replica is ready",
        series={_READY: "0x20", _OTHER_READY: "1x20"},
    ),
    AlertCase(alert="AskdDown", fires=False, eval_time="10m", description="briefly", series={_READY: "1x3 0x1 1x20"}),
    AlertCase(
        alert="AskdLoopStalls",
        fires=True,
        eval_time="15m",
        description="late",
        series={_LAG: "0+12x30", _LAG_COUNT: "0+180x30"},
    ),
    AlertCase(
        alert="AskdLoopStalls",
        fires=True,
        eval_time="20m",
        description="stalled",
        series={_LAG: "0+0.1x5 0.5x30", _LAG_COUNT: "0+240x5 1200x30"},
    ),
    AlertCase(
        alert="AskdLoopStalls",
        fires=False,
        eval_time="15m",
        description="running",
        series={_LAG: "0+0.5x30", _LAG_COUNT: "0+239x30"},
    ),
    AlertCase(
        alert="AskdLoopStalls",
        fires=False,
        eval_time="8m",
        description="just started",
        series={_LAG: "_x3 0+0.5x30", _LAG_COUNT: "_x3 0+239x30"},
    ),
    AlertCase(alert="AskdClientsLeave", fires=True, eval_time="20m", series={_OK: "0+80x30", _CLIENT_LEFT: "0+20x30"}),
    AlertCase(alert="AskdClientsLeave", fires=False, eval_time="20m", series={_OK: "0+95x30", _CLIENT_LEFT: "0+5x30"}),
    AlertCase(alert="AskdShedding", fires=True, eval_time="15m", series={_SHED: "0+6x30"}),
    AlertCase(
        alert="AskdShedding", fires=False, eval_time="15m", description="short peak", series={_SHED: "0x2 60x30"}
    ),
    AlertCase(
        alert="AskdAnswererDown", fires=True, eval_time="10m", series={_CIRCUIT: "1 0x20", _OTHER_CIRCUIT: "1 0x20"}
    ),
    AlertCase(
        alert="AskdAnswererDown",
        fires=False,
        eval_time="10m",
        description="closed on one replica",
        series={_CIRCUIT: "0x20", _OTHER_CIRCUIT: "1x20"},
    ),
    AlertCase(
        alert="AskdAutoscalerAtMaximum",
        fires=True,
        eval_time="30m",
        series={_DESIRED: "10x40", _MAXIMUM: "10x40", _MINIMUM: "2x40"},
    ),
    AlertCase(
        alert="AskdAutoscalerAtMaximum",
        fires=False,
        eval_time="30m",
        description="below the maximum",
        series={_DESIRED: "9x40", _MAXIMUM: "10x40", _MINIMUM: "2x40"},
    ),
    AlertCase(
        alert="AskdAutoscalerAtMaximum",
        fires=False,
        eval_time="30m",
        description="fixed number of replicas",
        series={_DESIRED: "2x40", _MAXIMUM: "2x40", _MINIMUM: "2x40"},
    ),
    AlertCase(alert="AskdLogLinesDropped", fires=True, eval_time="15m", series={_DROPPED: "0+60x30"}),
    AlertCase(
        alert="AskdLogLinesDropped",
        fires=False,
        eval_time="15m",
        description="short pause of the reader",
        series={_DROPPED: "0x2 60x30"},
    ),
    *_file_cases("AskdBookNotReloaded", "book"),
    *_file_cases("AskdTokensNotRead", "tokens"),
    *_file_cases("AskdCertificateNotRead", "tls"),
    AlertCase(alert=_EXPIRES, fires=True, severity="warning", eval_time="1h", series={_EXPIRY: f"{6 * 86400}x90"}),
    AlertCase(alert=_EXPIRES, fires=False, severity="warning", eval_time="1h", series={_EXPIRY: f"{8 * 86400}x90"}),
    AlertCase(alert=_EXPIRES, fires=True, severity="critical", eval_time="1h", series={_EXPIRY: f"{20 * 3600}x90"}),
    AlertCase(alert=_EXPIRES, fires=False, severity="critical", eval_time="1h", series={_EXPIRY: f"{6 * 86400}x90"}),
]
