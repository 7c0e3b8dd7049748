"""The alerts. `page`: somebody has to do something now; `ticket`: somebody has to within days.

Burn rates, their windows and their factors are those of Google's Site Reliability Workbook, chapter 5, "Alerting on
SLOs": at 14.4 times the rate that the objective allows, 2 % of a month's budget go in an hour; at 6 times 5 % in six
hours; at 1 time 10 % in three days. The short window lets the alert end soon after the fault does.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from tests.rules.parameters import DAY, MINUTE, Parameters
from tests.rules.recording import FLEET

PAGE: Final = "page"
TICKET: Final = "ticket"
BURNS: Final = ((14.4, "1h", "5m", PAGE), (6, "6h", "30m", PAGE), (1, "3d", "6h", TICKET))
_WHERE: Final = "{{ with $labels.namespace }}{{ . }}/{{ end }}{{ $labels.job }}"
_PERCENT: Final = "{{ $value | humanizePercentage }}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert. Its runbook has its name."""

    name: str
    severity: str
    expr: str
    summary: str
    """What is the matter, in one line; it may have Prometheus' templates."""
    lasts: float = 0.0
    """Seconds that it has to hold."""
    burn: str = ""
    """How many times faster than allowed the budget goes; empty: this is not about one."""

    def rule(self, parameters: Parameters) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        wait = {"for": parameters.span(self.lasts)} if self.lasts else {}
        labels = {"severity": self.severity} | ({"burn": self.burn} if self.burn else {})
        annotations = {"summary": self.summary, "runbook_url": f"{parameters.runbooks}/{self.name}.md"}
        return {"alert": self.name, "expr": self.expr, **wait, "labels": labels, "annotations": annotations}


def burning(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts on the objectives' budgets."""
    for factor, long, short, severity in BURNS:
        yield Alert(
            name="AskdErrorBudgetBurn",
            severity=severity,
            expr=_burn(parameters, ("errors", long, short), factor, parameters.availability),
            summary=f"{_WHERE}: {_PERCENT} of the questions of {long} failed or were shed, objective "
            f"{parameters.availability} %",
            burn=f"{factor}x",
        )
        yield Alert(
            name="AskdLatencyBudgetBurn",
            severity=severity,
            expr=_burn(parameters, ("slow", long, short), factor, parameters.latency),
            summary=f"{_WHERE}: {_PERCENT} of the answers of {long} took more than {parameters.threshold} s, objective "
            f"{parameters.latency} % within",
            burn=f"{factor}x",
        )


def _burn(parameters: Parameters, what: tuple[str, str, str], factor: float, objective: str) -> str:
    """Return when a ratio is more than so many times what an objective allows, over both of two windows."""
    name, *windows = what
    ratios = [parameters.series(f"job:askd_{name}:ratio_rate{window}") for window in windows]
    return "\nand\n".join(f"{ratio} > {factor} * (100 - {objective}) / 100" for ratio in ratios)


def serving(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts on what the objectives do not see: where nothing is asked, or nothing ends."""
    series, window = parameters.series, parameters.span(5 * MINUTE)
    lag = "askd_event_loop_lag_seconds"
    yield Alert(
        name="AskdDown",
        severity=PAGE,
        expr=f"sum {FLEET} ({series('askd_ready')}) == 0\nor\nabsent({series('askd_ready')})",
        lasts=2 * MINUTE,
        summary="{{ with $labels.namespace }}{{ . }}/{{ end }}{{ with $labels.job }}{{ . }}: {{ end }}"
        "no replica is up and ready",
    )
    yield Alert(
        name="AskdLoopStalls",
        severity=PAGE,
        # A tenth of the time late, or less than half of the four beats a second that a loop makes which moves.
        expr=f"rate({series(lag + '_sum')}[{window}]) > 0.1\nor\nrate({series(lag + '_count')}[{window}]) < 2",
        lasts=5 * MINUTE,
        summary=f"{_WHERE}: the event loop of {{{{ $labels.instance }}}} stands still",
    )
    yield Alert(
        name="AskdShedding",
        severity=PAGE,
        expr=f"sum {FLEET} (rate({series('askd_shed_total')}[{window}])) > 0",
        lasts=10 * MINUTE,
        summary=f"{_WHERE}: {{{{ $value | humanize }}}} questions a second are refused, because there are too many",
    )
    yield Alert(
        name="AskdAnswererDown",
        severity=PAGE,
        expr=f"max {FLEET} ({series('askd_upstream_circuit_state', _CLOSED)}) == 0",
        lasts=2 * MINUTE,
        summary=f"{_WHERE}: the server that answers fails, and no replica asks it any more",
    )
    yield Alert(
        name="AskdAutoscalerAtMaximum",
        severity=TICKET,
        expr=_at_maximum(parameters.autoscaler),
        lasts=15 * MINUTE,
        summary="{{ $labels.namespace }}/{{ $labels.horizontalpodautoscaler }}: it wants {{ $value }} replicas "
        "and may not have more",
    )
    yield Alert(
        name="AskdLogLinesDropped",
        severity=TICKET,
        expr=f"sum {FLEET} (rate({series('askd_log_lines_dropped_total')}[{window}])) > 0",
        lasts=5 * MINUTE,
        summary=f"{_WHERE}: {{{{ $value | humanize }}}} log lines a second are lost: they are not taken in time",
    )


_CLOSED: Final = 'state="closed"'


def _at_maximum(matchers: str) -> str:
    of = f"kube_horizontalpodautoscaler_{{}}{{{{{matchers}}}}}"
    most = of.format("spec_max_replicas")
    least = of.format("spec_min_replicas")
    return f"{of.format('status_desired_replicas')} >= {most}\nand\n{most} > {least}"


def files(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts on files that should be in force and are not."""
    for what, name, word in (
        ("book", "AskdBookNotReloaded", "the book on the disk is faulty, an older one is served"),
        ("tokens", "AskdTokensNotRead", "the tokens file is faulty, older tokens are in force"),
        ("tls", "AskdCertificateNotRead", "the certificate on the disk is faulty, an older one is shown"),
    ):
        yield Alert(
            name=name,
            severity=TICKET,
            expr=f"min {FLEET} ({parameters.series(f'askd_{what}_last_reload_successful')}) == 0",
            lasts=5 * MINUTE,
            summary=f"{_WHERE}: {word}",
        )
    for days, severity in ((7, TICKET), (1, PAGE)):
        ends = parameters.series("askd_tls_certificate_expiry_timestamp_seconds")
        yield Alert(
            name="AskdCertificateExpires",
            severity=severity,
            expr=f"min {FLEET} ({ends}) - time() < {days * DAY:.0f}",
            summary=f"{_WHERE}: the certificate that is shown ends in {{{{ $value | humanizeDuration }}}}",
        )


def alerts(parameters: Parameters) -> list[Alert]:
    """Return all of them."""
    return [*burning(parameters), *serving(parameters), *files(parameters)]
