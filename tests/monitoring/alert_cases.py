"""For each alert a case in which it fires, and one in which it does not: made-up series for `promtool test rules`."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from tests.rules.alerts import BURNS

_FLEET: Final = 'namespace="web",job="askd",instance="a"'
_OK: Final = f'askd_requests_total{{{_FLEET},route="/ask",method="GET",code="200"}}'
_FAILED: Final = f'askd_requests_total{{{_FLEET},route="/ask",method="GET",code="500"}}'
_SHED: Final = f'askd_requests_total{{{_FLEET},route="/ask",method="GET",code="503"}}'
_LIMITED: Final = f'askd_requests_total{{{_FLEET},route="/ask",method="GET",code="429"}}'
_PAGES: Final = f'askd_requests_total{{{_FLEET},route="/docs",method="GET",code="500"}}'
_ANSWERS: Final = f'askd_request_duration_seconds_count{{{_FLEET},route="/ask",method="GET",code="200"}}'
_FAST: Final = f'askd_request_duration_seconds_bucket{{{_FLEET},route="/ask",method="GET",code="200",le="0.25"}}'
_LAG: Final = f"askd_event_loop_lag_seconds_sum{{{_FLEET}}}"
_BEATS: Final = f"askd_event_loop_lag_seconds_count{{{_FLEET}}}"
_READY: Final = f"askd_ready{{{_FLEET}}}"
_OTHER: Final = _READY.replace('"a"', '"b"')
_CLOSED: Final = f'askd_upstream_circuit_state{{{_FLEET},state="closed"}}'
_OTHER_CLOSED: Final = _CLOSED.replace('"a"', '"b"')
_DROPPED: Final = f"askd_log_lines_dropped_total{{{_FLEET}}}"
_REFUSED: Final = f'askd_shed_total{{{_FLEET},reason="queue_full"}}'
_HPA: Final = 'namespace="web",horizontalpodautoscaler="askd",job="kube-state-metrics"'
_WANTED: Final = f"kube_horizontalpodautoscaler_status_desired_replicas{{{_HPA}}}"
_MOST: Final = f"kube_horizontalpodautoscaler_spec_max_replicas{{{_HPA}}}"
_LEAST: Final = f"kube_horizontalpodautoscaler_spec_min_replicas{{{_HPA}}}"
_ENDS: Final = f"askd_tls_certificate_expiry_timestamp_seconds{{{_FLEET}}}"
_EXPIRES: Final = "AskdCertificateExpires"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """Series by name, as promtool writes them, a value a `step`; and whether an alert fires at a time."""

    alert: str
    fires: bool
    series: Mapping[str, str]
    at: str
    severity: str = ""
    burn: str = ""
    about: str = ""

    @property
    def step(self) -> str:
        """The time between two values, and between two evaluations: days a minute at a time would take minutes."""
        return "10m" if self.at.endswith("d") else "1m"

    def test(self) -> dict[str, Any]:
        """Return it as promtool reads it."""
        labels = {"alertname": self.alert, "alertstate": "firing", "severity": self.severity, "burn": self.burn}
        chosen = ",".join(f'{label}="{value}"' for label, value in labels.items() if value)
        return {
            "name": f"{self.alert} {self.burn} {self.about}".strip(),
            "interval": self.step,
            "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
            "promql_expr_test": [
                {
                    "expr": f"count(ALERTS{{{chosen}}}) or vector(0)",
                    "eval_time": self.at,
                    "exp_samples": [{"labels": "{}", "value": int(self.fires)}],
                }
            ],
        }


def _burns(alert: str, good: str, bad: str, whole: Mapping[str, str]) -> list[Case]:
    """Return cases for one objective; `bad` goes up by so many a minute that it burns, where it does."""
    page, ticket = {"severity": "page", "burn": "14.4x"}, {"severity": "ticket", "burn": "1x"}
    slower = {"severity": "page", "burn": "6x"}

    def case(*, fires: bool, at: str, steady: str, wrong: str, about: str, **labels: str) -> Case:
        return Case(alert=alert, fires=fires, at=at, about=about, series={good: steady, bad: wrong, **whole}, **labels)

    return [
        case(fires=True, at="1h", steady="0+80x120", wrong="0+20x120", about="at once", **page),
        case(fires=False, at="1h", steady="0+9995x120", wrong="0+5x120", about="within the objective", **page),
        case(fires=False, at="2h", steady="0+80x60 4880+100x90", wrong="0+20x60 1200x90", about="it is over", **page),
        case(fires=True, at="7h", steady="0+920x500", wrong="0+80x500", about="slower", **slower),
        case(fires=False, at="7h", steady="0+9995x500", wrong="0+5x500", about="within the objective", **slower),
        case(fires=True, at="3d", steady="0+980x440", wrong="0+20x440", about="for days", **ticket),
        case(fires=False, at="3d", steady="0+9995x440", wrong="0+5x440", about="within the objective", **ticket),
    ]


def _slow() -> list[Case]:
    """Return cases in which a part of the answers takes too long; what is counted is fast ones and all of them."""
    labels = [{"severity": severity, "burn": f"{factor}x"} for factor, _, _, severity in BURNS]
    cases = []
    for each, at, share, count in zip(labels, ("1h", "7h", "3d"), (80, 90, 98), (120, 500, 440), strict=True):
        for fast, fires in ((share, True), (100, False)):
            series = {_ANSWERS: f"0+100x{count}", _FAST: f"0+{fast}x{count}"}
            cases.append(Case(alert="AskdLatencyBudgetBurn", fires=fires, at=at, series=series, **each))
    return cases


def _file(alert: str, what: str) -> list[Case]:
    name = f"askd_{what}_last_reload_successful{{{_FLEET}}}"
    return [
        Case(alert=alert, fires=True, at="10m", series={name: "1 0x20"}),
        Case(alert=alert, fires=False, at="10m", series={name: "1 0x3 1x20"}, about="mended soon"),
        Case(
            alert=alert,
            fires=True,
            at="10m",
            series={name: "1x20", name.replace('"a"', '"b"'): "1 0x20"},
            about="one of two",
        ),
    ]


CASES: Final = [
    *_burns("AskdErrorBudgetBurn", _OK, _FAILED, {}),
    Case(alert="AskdErrorBudgetBurn", fires=True, severity="page", burn="14.4x", at="1h", about="shed counts",
         series={_OK: "0+80x90", _SHED: "0+20x90"}),
    Case(alert="AskdErrorBudgetBurn", fires=False, at="1h", about="the client's fault",
         series={_OK: "0+80x90", _LIMITED: "0+20x90", _PAGES: "0+20x90"}),
    Case(alert="AskdErrorBudgetBurn", fires=False, at="1h", about="nothing is asked", series={_OK: "0x90"}),
    *_slow(),
    Case(alert="AskdDown", fires=True, at="10m", about="no target", series={"up": "1x20"}),
    Case(alert="AskdDown", fires=True, at="10m", about="gone", series={_READY: "1x3 stale"}),
    Case(alert="AskdDown", fires=True, at="10m", about="none is ready", series={_READY: "0x20", _OTHER: "0x20"}),
    Case(alert="AskdDown", fires=False, at="10m", about="one is", series={_READY: "0x20", _OTHER: "1x20"}),
    Case(alert="AskdDown", fires=False, at="10m", about="for a moment", series={_READY: "1x3 0x1 1x20"}),
    Case(alert="AskdLoopStalls", fires=True, at="15m", about="late", series={_LAG: "0+12x30", _BEATS: "0+180x30"}),
    Case(alert="AskdLoopStalls", fires=True, at="20m", about="stands still",
         series={_LAG: "0+0.1x5 0.5x30", _BEATS: "0+240x5 1200x30"}),
    Case(alert="AskdLoopStalls", fires=False, at="15m", about="moves", series={_LAG: "0+0.5x30", _BEATS: "0+239x30"}),
    Case(alert="AskdLoopStalls", fires=False, at="8m", about="has just begun",
         series={_LAG: "_x3 0+0.5x30", _BEATS: "_x3 0+239x30"}),
    Case(alert="AskdShedding", fires=True, at="15m", series={_REFUSED: "0+6x30"}),
    Case(alert="AskdShedding", fires=False, at="15m", about="a peak of a minute", series={_REFUSED: "0x2 60x30"}),
    Case(alert="AskdAnswererDown", fires=True, at="10m", series={_CLOSED: "1 0x20", _OTHER_CLOSED: "1 0x20"}),
    Case(alert="AskdAnswererDown", fires=False, at="10m", about="one asks",
         series={_CLOSED: "0x20", _OTHER_CLOSED: "1x20"}),
    Case(alert="AskdAutoscalerAtMaximum", fires=True, at="30m",
         series={_WANTED: "10x40", _MOST: "10x40", _LEAST: "2x40"}),
    Case(alert="AskdAutoscalerAtMaximum", fires=False, at="30m", about="below",
         series={_WANTED: "9x40", _MOST: "10x40", _LEAST: "2x40"}),
    Case(alert="AskdAutoscalerAtMaximum", fires=False, at="30m", about="a fixed number",
         series={_WANTED: "2x40", _MOST: "2x40", _LEAST: "2x40"}),
    Case(alert="AskdLogLinesDropped", fires=True, at="15m", series={_DROPPED: "0+60x30"}),
    Case(alert="AskdLogLinesDropped", fires=False, at="15m", about="a pause of the reader's",
         series={_DROPPED: "0x2 60x30"}),
    *_file("AskdBookNotReloaded", "book"),
    *_file("AskdTokensNotRead", "tokens"),
    *_file("AskdCertificateNotRead", "tls"),
    Case(alert=_EXPIRES, fires=True, severity="ticket", at="1h", series={_ENDS: f"{6 * 86400}x90"}),
    Case(alert=_EXPIRES, fires=False, severity="ticket", at="1h", series={_ENDS: f"{8 * 86400}x90"}),
    Case(alert=_EXPIRES, fires=True, severity="page", at="1h", series={_ENDS: f"{20 * 3600}x90"}),
    Case(alert=_EXPIRES, fires=False, severity="page", at="1h", series={_ENDS: f"{6 * 86400}x90"}),
]  # fmt: skip
