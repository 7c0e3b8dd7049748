"""Alerts. Severity `critical` needs action now, `warning` within days.

Burn rates, windows and factors are from Google's Site Reliability Workbook, chapter 5, "Alerting on SLOs": at 14.4
times the allowed error rate, 2 % of a month's budget are spent in an hour; at 6 times, 5 % in six hours; at 1 time,
10 % in three days. The short window ends the alert soon after the errors end.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from tools.monitoring.parameters import DAY, MINUTE, Parameters
from tools.monitoring.recording_rules import ASK_ROUTE, BY_FLEET, REQUEST_DURATION

CRITICAL: Final = "critical"
WARNING: Final = "warning"
BURN_RATES: Final = ((14.4, "1h", "5m", CRITICAL), (6, "6h", "30m", CRITICAL), (1, "3d", "6h", WARNING))
_FLEET_LABEL: Final = "{{ with $labels.namespace }}{{ . }}/{{ end }}{{ $labels.job }}"
_OPTIONAL_FLEET_LABEL: Final = "{{ with $labels.namespace }}{{ . }}/{{ end }}{{ with $labels.job }}{{ . }}: {{ end }}"
_PERCENT_VALUE: Final = "{{ $value | humanizePercentage }}"
_RATE_VALUE: Final = "{{ $value | humanize }}"
_CIRCUIT_CLOSED: Final = 'state="closed"'
_CLIENT_LEFT: Final = 'http_response_status_code="499"'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert. Its runbook is docs/runbooks/NAME.md."""

    name: str
    severity: str
    """`critical` or `warning`; `Parameters` can rename them."""
    expr: str
    summary: str
    """One line for people; may contain Prometheus' templates."""
    for_seconds: float = 0.0
    """Seconds for which the condition must hold."""
    burn: str = ""
    """Burn rate as a multiple of the allowed rate; empty if the alert is not about an error budget."""

    def rule(self, parameters: Parameters) -> dict[str, Any]:
        """Return the alerting rule for Prometheus."""
        wait = {"for": parameters.duration(self.for_seconds)} if self.for_seconds else {}
        severity = {CRITICAL: parameters.critical, WARNING: parameters.warning}[self.severity]
        labels = {"severity": severity} | ({"burn": self.burn} if self.burn else {})
        runbook = {"runbook_url": f"{parameters.runbooks}/{self.name}.md"} if parameters.runbooks else {}
        annotations = {"summary": self.summary} | runbook
        return {"alert": self.name, "expr": self.expr, **wait, "labels": labels, "annotations": annotations}


def slo_alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts on error budgets."""
    for factor, long_window, short_window, severity in BURN_RATES:
        windows = (long_window, short_window)
        yield Alert(
            name="AskdErrorBudgetBurn",
            severity=severity,
            expr=_burn_rate_expr(parameters, "errors", windows, factor, parameters.availability),
            summary=f"{_FLEET_LABEL}: {_PERCENT_VALUE} of the requests in {long_window} failed or were shed, objective "
            f"{parameters.availability} %",
            burn=f"{factor}x",
        )
        yield Alert(
            name="AskdLatencyBudgetBurn",
            severity=severity,
            expr=_burn_rate_expr(parameters, "slow", windows, factor, parameters.latency),
            summary=f"{_FLEET_LABEL}: {_PERCENT_VALUE} of the answers in {long_window} took more than "
            f"{parameters.threshold} s, objective {parameters.latency} % within",
            burn=f"{factor}x",
        )


def _burn_rate_expr(
    parameters: Parameters, ratio_name: str, windows: tuple[str, str], factor: float, objective: str
) -> str:
    """Return a condition that a ratio exceeds `factor` times the allowed ratio in both windows."""
    ratios = [parameters.select(f"job:askd_{ratio_name}:ratio_rate{window}") for window in windows]
    return "\nand\n".join(f"{ratio} > {factor} * (100 - {objective}) / 100" for ratio in ratios)


def serving_alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts on failures that the objectives do not detect, because no requests arrive or none finish."""
    series, window = parameters.select, parameters.duration(5 * MINUTE)
    lag = "askd_event_loop_lag_seconds"
    yield Alert(
        name="AskdDown",
        severity=CRITICAL,
        expr=f"sum {BY_FLEET} ({series('askd_ready')}) == 0\nor\nabsent({series('askd_ready')})",
        for_seconds=2 * MINUTE,
        summary=f"{_OPTIONAL_FLEET_LABEL}no replica is up and ready",
    )
    yield Alert(
        name="AskdLoopStalls",
        severity=CRITICAL,
        # Late for a tenth of the time, or less than half of the four heartbeats per second.
        expr=f"rate({series(lag + '_sum')}[{window}]) > 0.1\nor\nrate({series(lag + '_count')}[{window}]) < 2",
        for_seconds=5 * MINUTE,
        summary=f"{_FLEET_LABEL}: the event loop of {{{{ $labels.instance }}}} stalls",
    )
    yield Alert(
        name="AskdShedding",
        severity=CRITICAL,
        expr=f"sum {BY_FLEET} (rate({series('askd_shed_total')}[{window}])) > 0",
        for_seconds=10 * MINUTE,
        summary=f"{_FLEET_LABEL}: {_RATE_VALUE} requests per second are shed because of overload",
    )
    requests = [series(f"{REQUEST_DURATION}_count", ASK_ROUTE, *status) for status in ([_CLIENT_LEFT], [])]
    left, all_requests = (f"sum {BY_FLEET} (rate({selector}[{window}]))" for selector in requests)
    yield Alert(
        name="AskdClientsLeave",
        severity=WARNING,
        expr=f"{left}\n/\n{all_requests}\n> 0.1",
        for_seconds=10 * MINUTE,
        summary=f"{_FLEET_LABEL}: the clients of {_PERCENT_VALUE} of the requests disconnect before the response",
    )
    yield Alert(
        name="AskdAnswererDown",
        severity=CRITICAL,
        expr=f"max {BY_FLEET} ({series('askd_upstream_circuit_state', _CIRCUIT_CLOSED)}) == 0",
        for_seconds=2 * MINUTE,
        summary=f"{_FLEET_LABEL}: the upstream server fails, and the circuit breaker is open on every replica",
    )
    yield Alert(
        name="AskdAutoscalerAtMaximum",
        severity=WARNING,
        expr=_autoscaler_at_maximum_expr(parameters.autoscaler),
        for_seconds=15 * MINUTE,
        summary="{{ $labels.namespace }}/{{ $labels.horizontalpodautoscaler }}: it needs {{ $value }} replicas, its "
        "maximum or more",
    )
    yield Alert(
        name="AskdLogLinesDropped",
        severity=WARNING,
        expr=f"sum {BY_FLEET} (rate({series('askd_log_lines_dropped_total')}[{window}])) > 0",
        for_seconds=5 * MINUTE,
        summary=f"{_FLEET_LABEL}: {_RATE_VALUE} log lines per second are dropped because their reader is too slow",
    )


def _autoscaler_at_maximum_expr(matchers: str) -> str:
    desired, maximum, minimum = (
        f"kube_horizontalpodautoscaler_{name}{{{matchers}}}"
        for name in ("status_desired_replicas", "spec_max_replicas", "spec_min_replicas")
    )
    return f"{desired} >= {maximum}\nand\n{maximum} > {minimum}"


def file_alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts on files that were changed and cannot be loaded, and on the certificate's expiry."""
    for file, name, problem in (
        ("book", "AskdBookNotReloaded", "the book on disk is invalid, an older version is served"),
        ("tokens", "AskdTokensNotRead", "the token file is invalid, older tokens are in use"),
        ("tls", "AskdCertificateNotRead", "the certificate on disk is invalid, an older one is in use"),
    ):
        yield Alert(
            name=name,
            severity=WARNING,
            expr=f"min {BY_FLEET} ({parameters.select(f'askd_{file}_last_reload_successful')}) == 0",
            for_seconds=5 * MINUTE,
            summary=f"{_FLEET_LABEL}: {problem}",
        )
    for days, severity in ((7, WARNING), (1, CRITICAL)):
        expires_at = parameters.select("askd_tls_certificate_expiry_timestamp_seconds")
        yield Alert(
            name="AskdCertificateExpires",
            severity=severity,
            expr=f"min {BY_FLEET} ({expires_at}) - time() < {days * DAY:.0f}",
            summary=f"{_FLEET_LABEL}: the certificate in use expires in {{{{ $value | humanizeDuration }}}}",
        )


def all_alerts(parameters: Parameters) -> list[Alert]:
    """Return all alerts."""
    return [*slo_alerts(parameters), *serving_alerts(parameters), *file_alerts(parameters)]
