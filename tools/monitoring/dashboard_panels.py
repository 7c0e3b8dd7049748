"""The panels of the dashboard, in the order of an exchange, with their queries."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from tests.rules.parameters import Parameters

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
FLEET: Final = 'namespace=~"$namespace",job=~"$job"'
RATE: Final = "$__rate_interval"
_ANSWERED: Final = 'code=~"2..|304|404"'
_ASK: Final = 'route="/ask"'
_JOINED: Final = 'result="joined"'
_FINE: Final = 'code!~"5.."'
_BUCKET: Final = "askd_request_duration_seconds_bucket"
_BUDGET: Final = [(None, "red"), (0.0, "orange"), (0.25, "green")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: `queries` are expressions by what their series are called."""

    title: str
    queries: dict[str, str]
    width: int
    height: int = 7
    kind: str = "timeseries"
    unit: str = "short"
    help: str = ""
    stacked: bool = False
    steps: list[tuple[float | None, str]] = dataclasses.field(default_factory=lambda: [(None, "green")])
    """Colours of values, from where on; None: from the least."""
    line: str = ""
    """The series that is drawn as a red dashed line: an objective."""


def of(name: str, *matchers: str) -> str:
    """Select the series that the dashboard's variables choose."""
    return f"{name}{{{','.join((FLEET, *matchers))}}}"


def rate(name: str, *matchers: str, window: str = RATE) -> str:
    """Return the rate of a counter."""
    return f"rate({of(name, *matchers)}[{window}])"


def ask(*matchers: str, window: str = RATE) -> str:
    """Return the rate of the questions."""
    return rate("askd_requests_total", _ASK, *matchers, window=window)


def quantile(share: float, name: str, *matchers: str) -> str:
    """Return a quantile, over all replicas."""
    return f"histogram_quantile({share}, sum by (le) ({rate(name, *matchers)}))"


def panels(parameters: Parameters) -> list[list[Panel]]:
    """Return the rows."""
    return [list(_state(parameters)), list(_exchange()), list(_time(parameters)), list(_inside())]


def _state(parameters: Parameters) -> Iterator[Panel]:
    """Yield what is seen at a glance."""
    small: dict[str, Any] = {"kind": "stat", "width": 4, "height": 4}
    wrong = f"1 - sum({ask(_FINE, window='$__range')}) / sum({ask(window='$__range')})"
    within = rate(_BUCKET, _ASK, _ANSWERED, f'le="{parameters.threshold}"', window="$__range")
    answers = rate("askd_request_duration_seconds_count", _ASK, _ANSWERED, window="$__range")
    yield Panel(title="Questions a second", queries={"asked": f"sum({ask()})"}, unit="reqps", **small)
    yield Panel(
        title="Error budget left",
        queries={"left": f"1 - ({wrong}) / ((100 - {parameters.availability}) / 100)"},
        unit="percentunit",
        steps=_BUDGET,
        help=f"Of the time that is shown: {parameters.availability} % are to be answered without 5xx. Below 0: spent.",
        **small,
    )
    yield Panel(
        title="Latency budget left",
        queries={"left": f"1 - (1 - sum({within}) / sum({answers})) / ((100 - {parameters.latency}) / 100)"},
        unit="percentunit",
        steps=_BUDGET,
        help=f"Of the time that is shown: {parameters.latency} % of the answers are to take at most "
        f"{parameters.threshold} s.",
        **small,
    )
    yield Panel(title="Under way", queries={"under way": f"sum({of('askd_in_flight')})"}, **small)
    yield Panel(
        title="Replicas ready",
        queries={"ready": f"sum({of('askd_ready')})"},
        steps=[(None, "red"), (1.0, "green")],
        **small,
    )
    yield Panel(
        title="Alerts",
        queries={"firing": 'count(ALERTS{alertname=~"Askd.*",alertstate="firing"}) or vector(0)'},
        steps=[(None, "green"), (1.0, "red")],
        **small,
    )


def _exchange() -> Iterator[Panel]:
    """Yield what is asked, what is answered, and what is not."""
    yield Panel(
        title="Asked", queries={"{{method}}": f"sum by (method) ({ask()})"}, width=8, unit="reqps", stacked=True
    )
    yield Panel(
        title="Answered",
        queries={"{{code}}": f"sum by (code) ({ask(_ANSWERED)})"},
        width=8,
        unit="reqps",
        stacked=True,
        help="404: there is no answer. 304: the client has it.",
    )
    yield Panel(
        title="Refused and failed",
        queries={
            "{{code}}": f"sum by (code) ({ask(_ANSWERED.replace('=~', '!~'))})",
            "shed: {{reason}}": f"sum by (reason) ({rate('askd_shed_total')})",
        },
        width=8,
        unit="reqps",
        help="429: beyond the client's rate. 503: too many, or the server that answers is away. 504: too late.",
    )


def _time(parameters: Parameters) -> Iterator[Panel]:
    """Yield how long it takes, and what is waited for."""
    yield Panel(
        title="Latency",
        queries={"{{le}}": f"sum by (le) ({rate(_BUCKET, _ASK)})"},
        width=9,
        kind="heatmap",
        unit="s",
        help=f"The objective's edge is {parameters.threshold} s.",
    )
    yield Panel(
        title="Latency against the objective",
        queries={
            "99 %": quantile(0.99, _BUCKET, _ASK, _ANSWERED),
            "50 %": quantile(0.5, _BUCKET, _ASK, _ANSWERED),
            "objective": f"vector({parameters.threshold})",
        },
        width=7,
        unit="s",
        line="objective",
        help=f"{parameters.latency} % are to be below the line.",
    )
    yield Panel(
        title="Queue and limit",
        queries={
            "in the code": f"sum({rate('askd_inflight_seconds_total')})",
            "limit": f"sum({of('askd_concurrency_limit')})",
            "waiting": f"sum({of('askd_queue')})",
            "may wait": f"sum({of('askd_queue_limit')})",
        },
        width=8,
        line="limit",
        help="Questions, of all replicas together.",
    )


def _inside() -> Iterator[Panel]:
    """Yield the code, the cache and the replicas."""
    code, delay = "askd_answerer_duration_seconds", "askd_queue_delay_seconds"
    yield Panel(
        title="Code: time",
        queries={
            "99 %": quantile(0.99, f"{code}_bucket"),
            "50 %": quantile(0.5, f"{code}_bucket"),
            "queue, mean": f"sum({rate(f'{delay}_sum')}) / sum({rate(f'{delay}_count')})",
        },
        width=6,
        unit="s",
    )
    yield Panel(
        title="Code: outcomes",
        queries={"{{outcome}}": f"sum by (outcome) ({rate(f'{code}_count')})"},
        width=6,
        unit="reqps",
        stacked=True,
    )
    yield Panel(
        title="At hand",
        queries={
            "cache: {{result}}": f"sum by (result) ({rate('askd_cache_results_total')})",
            "call shared": f"sum({rate('askd_flight_results_total', _JOINED)})",
        },
        width=6,
        unit="reqps",
        stacked=True,
    )
    yield Panel(
        title="Replicas",
        queries={
            "there": f"count({of('askd_build_info')})",
            "ready": f"sum({of('askd_ready')})",
            "draining": f"sum({of('askd_draining')})",
            "worst loop lag, 99 % (s)": "max(histogram_quantile(0.99, sum by (le, instance) "
            f"({rate('askd_event_loop_lag_seconds_bucket')})))",
        },
        width=6,
    )
