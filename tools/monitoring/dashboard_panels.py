"""Panels of the dashboard and their queries, in the order of a request."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from tools.monitoring.recording_rules import ANSWERED, ASK_ROUTE, NOT_5XX, NOT_ANSWERED, REQUEST_DURATION

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
FLEET_MATCHERS: Final = 'namespace=~"$namespace",job=~"$job"'
RATE_INTERVAL: Final = "$__rate_interval"
_BUCKET: Final = f"{REQUEST_DURATION}_bucket"
_COUNT: Final = f"{REQUEST_DURATION}_count"
_FLEET_ALERTS: Final = 'alertname=~"Askd.*",alertstate="firing",namespace=~"$namespace",job=~"$job|"'
"""Alerts of the selected fleets. Those on absent series and on the autoscaler have no label `job`."""
AVAILABILITY: Final = "$availability"
LATENCY: Final = "$latency"
THRESHOLD: Final = "$threshold"
_FOLLOWER: Final = 'role="follower"'
_BUDGET_THRESHOLDS: Final = [(None, "red"), (0.0, "orange"), (0.25, "green")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel. `queries` maps legends to expressions."""

    title: str
    queries: dict[str, str]
    width: int
    height: int = 7
    kind: str = "timeseries"
    unit: str = "short"
    help: str = ""
    stacked: bool = False
    thresholds: list[tuple[float | None, str]] = dataclasses.field(default_factory=lambda: [(None, "green")])
    """Lower bounds of values and their colours; the first bound is None."""
    objective_series: str = ""
    """Legend of the series that is drawn as a red dashed line."""


def select(name: str, *matchers: str) -> str:
    """Return a selector for the series chosen by the dashboard's variables."""
    return f"{name}{{{','.join((FLEET_MATCHERS, *matchers))}}}"


def rate_of(name: str, *matchers: str, window: str = RATE_INTERVAL) -> str:
    """Return the rate of a counter."""
    return f"rate({select(name, *matchers)}[{window}])"


def request_rate(*matchers: str, window: str = RATE_INTERVAL) -> str:
    """Return the rate of requests to /ask."""
    return rate_of(_COUNT, ASK_ROUTE, *matchers, window=window)


def quantile(share: float, name: str, *matchers: str) -> str:
    """Return a quantile over all replicas."""
    return f"histogram_quantile({share}, sum by (le) ({rate_of(name, *matchers)}))"


def panels() -> list[list[Panel]]:
    """Return the rows of panels."""
    return [
        list(_overview_row()),
        list(_requests_row()),
        list(_latency_row()),
        list(_internals_row()),
    ]


def _overview_row() -> Iterator[Panel]:
    stat: dict[str, Any] = {"kind": "stat", "width": 4, "height": 4}
    error_ratio = f"1 - sum({request_rate(NOT_5XX, window='$__range')}) / sum({request_rate(window='$__range')})"
    fast = rate_of(_BUCKET, ASK_ROUTE, ANSWERED, f'le="{THRESHOLD}"', window="$__range")
    answers = rate_of(_COUNT, ASK_ROUTE, ANSWERED, window="$__range")
    # Other applications may export this standard metric; `askd_build_info` limits it to askd.
    active = f"{select('http_server_active_requests')} and on (namespace, job, instance) {select('askd_build_info')}"
    yield Panel(title="Requests per second", queries={"requests": f"sum({request_rate()})"}, unit="reqps", **stat)
    yield Panel(
        title="Error budget left",
        queries={"left": f"1 - ({error_ratio}) / ((100 - {AVAILABILITY}) / 100)"},
        unit="percentunit",
        thresholds=_BUDGET_THRESHOLDS,
        help=f"For the selected time range. Objective: {AVAILABILITY} % without 5xx. Below 0: exhausted.",
        **stat,
    )
    yield Panel(
        title="Latency budget left",
        queries={"left": f"1 - (1 - sum({fast}) / sum({answers})) / ((100 - {LATENCY}) / 100)"},
        unit="percentunit",
        thresholds=_BUDGET_THRESHOLDS,
        help=f"For the selected time range. Objective: {LATENCY} % of the answers within {THRESHOLD} s.",
        **stat,
    )
    yield Panel(title="Active requests", queries={"active": f"sum({active})"}, **stat)
    yield Panel(
        title="Ready replicas",
        queries={"ready": f"sum({select('askd_ready')})"},
        thresholds=[(None, "red"), (1.0, "green")],
        **stat,
    )
    yield Panel(
        title="Alerts",
        queries={"firing": f"count(ALERTS{{{_FLEET_ALERTS}}}) or vector(0)"},
        thresholds=[(None, "green"), (1.0, "red")],
        **stat,
    )


def _requests_row() -> Iterator[Panel]:
    yield Panel(
        title="Requests by method",
        queries={"{{http_request_method}}": f"sum by (http_request_method) ({request_rate()})"},
        width=8,
        unit="reqps",
        stacked=True,
    )
    yield Panel(
        title="Answers by status",
        queries={"{{http_response_status_code}}": f"sum by (http_response_status_code) ({request_rate(ANSWERED)})"},
        width=8,
        unit="reqps",
        stacked=True,
        help="404: unknown question. 304: the client has the answer already.",
    )
    yield Panel(
        title="Rejections and errors",
        queries={
            "{{http_response_status_code}}": f"sum by (http_response_status_code) ({request_rate(NOT_ANSWERED)})",
            "shed: {{reason}}": f"sum by (reason) ({rate_of('askd_shed_total')})",
        },
        width=8,
        unit="reqps",
        help="429: over the rate limit. 503: shed, or the upstream server is unavailable. 504: deadline exceeded.",
    )


def _latency_row() -> Iterator[Panel]:
    yield Panel(
        title="Latency",
        queries={"{{le}}": f"sum by (le) ({rate_of(_BUCKET, ASK_ROUTE)})"},
        width=9,
        kind="heatmap",
        unit="s",
        help=f"The threshold of the objective is {THRESHOLD} s.",
    )
    yield Panel(
        title="Latency and objective",
        queries={
            "99 %": quantile(0.99, _BUCKET, ASK_ROUTE, ANSWERED),
            "50 %": quantile(0.5, _BUCKET, ASK_ROUTE, ANSWERED),
            "objective": f"vector({THRESHOLD})",
        },
        width=7,
        unit="s",
        objective_series="objective",
        help=f"Objective: {LATENCY} % below the line.",
    )
    yield Panel(
        title="Queue and concurrency limit",
        queries={
            "in flight": f"sum({rate_of('askd_in_flight_seconds_total')})",
            "limit": f"sum({select('askd_concurrency_limit')})",
            "queued": f"sum({select('askd_queue_length')})",
            "queue limit": f"sum({select('askd_queue_limit')})",
        },
        width=8,
        objective_series="limit",
        help="Calls of the answerer and queued requests, summed over all replicas.",
    )


def _internals_row() -> Iterator[Panel]:
    duration, delay = "askd_answerer_duration_seconds", "askd_queue_delay_seconds"
    yield Panel(
        title="Answerer: duration",
        queries={
            "99 %": quantile(0.99, f"{duration}_bucket"),
            "50 %": quantile(0.5, f"{duration}_bucket"),
            "queue, mean": f"sum({rate_of(f'{delay}_sum')}) / sum({rate_of(f'{delay}_count')})",
        },
        width=6,
        unit="s",
    )
    yield Panel(
        title="Answerer: outcomes",
        queries={"{{outcome}}": f"sum by (outcome) ({rate_of(f'{duration}_count')})"},
        width=6,
        unit="reqps",
        stacked=True,
    )
    yield Panel(
        title="Cache and single flight",
        queries={
            "cache: {{result}}": f"sum by (result) ({rate_of('askd_cache_lookups_total')})",
            "shared call": f"sum({rate_of('askd_single_flight_total', _FOLLOWER)})",
        },
        width=6,
        unit="reqps",
        stacked=True,
    )
    yield Panel(
        title="Replicas",
        queries={
            "running": f"count({select('askd_build_info')})",
            "ready": f"sum({select('askd_ready')})",
            "draining": f"sum({select('askd_draining')})",
            "worst event-loop lag, 99 % (s)": "max(histogram_quantile(0.99, sum by (le, instance) "
            f"({rate_of('askd_event_loop_lag_seconds_bucket')})))",
        },
        width=6,
    )
