"""Many exchanges: how long the steps took, by percentile; what came; which replicas answered how often."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from service.client.exchange import Exchange
from service.client.failed import Failed
from service.client.picture import FULL, WIDTH, seconds
from service.client.text import cut

PERCENTILES: Final = (50, 90, 99, 100)
_BAR: Final = 30
_REPLICAS: Final = 20
"""Lines for replicas; the rest is a number."""


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest of the values that so many percent do not exceed (nearest rank); there is one at least."""
    ranked = sorted(values)
    return ranked[max(-(-len(ranked) * percent // 100), 1) - 1]


def durations(exchanges: Iterable[Exchange]) -> dict[str, list[float]]:
    """Return all durations by step, in the order of an exchange, `total` last."""
    exchanges = list(exchanges)
    longest = max(exchanges, key=lambda each: len(each.steps))
    names = dict.fromkeys([step.name for step in longest.steps])
    names |= dict.fromkeys(step.name for each in exchanges for step in each.steps)
    found: dict[str, list[float]] = {name: [] for name in names}
    for each in exchanges:
        for step in each.steps:
            found[step.name].append(step.seconds)
    return {**found, "total": [each.seconds for each in exchanges]}


def replicas(exchanges: Iterable[Exchange]) -> Counter[str]:
    """Return how often each replica answered; those that do not say who they are are told by their address."""
    return Counter(each.served_by or each.address for each in exchanges)


def outcomes(exchanges: Iterable[Exchange], failures: Iterable[Failed]) -> Counter[str]:
    """Return how often each status came, and at which step there was none."""
    return Counter(str(each.status) for each in exchanges) + Counter(f"none ({each.step})" for each in failures)


def told(exchanges: Sequence[Exchange], failures: Sequence[Failed]) -> dict[str, Any]:
    """Return the summary for programs, in seconds."""
    spread = durations(exchanges) if exchanges else {}
    return {
        "asked": len(exchanges) + len(failures),
        "statuses": dict(outcomes(exchanges, failures)),
        "replicas": dict(replicas(exchanges).most_common()),
        "steps": {
            name: {f"p{percent}": percentile(values, percent) for percent in PERCENTILES}
            for name, values in spread.items()
        },
        "exchanges": exchanges,
    }


def summary(question: str, exchanges: Sequence[Exchange], failures: Sequence[Failed]) -> Iterator[str]:
    """Yield the lines for a person."""
    asked = len(exchanges) + len(failures)
    came = ", ".join(f"{count:,} × {what}" for what, count in outcomes(exchanges, failures).most_common())
    yield cut(f"{question} → asked {asked:,} times: {came}", WIDTH)
    if not exchanges:
        return
    inner = {step.name for each in exchanges for step in each.steps if step.server} | {"network"}
    yield ""
    yield f"{'':<13}{'p50':>12}{'p90':>12}{'p99':>12}{'longest':>12}"
    for name, values in durations(exchanges).items():
        label = f"  {name}" if name in inner else name
        times = "".join(f"{seconds(percentile(values, percent)):>12}" for percent in PERCENTILES)
        yield f"{cut(label, 13) if name not in inner else '  ' + cut(name, 10):<13}{times}"
    yield ""
    yield from _replicas(replicas(exchanges))


def _replicas(found: Counter[str]) -> Iterator[str]:
    most = max(found.values())
    yield "answered by"
    for name, count in found.most_common(_REPLICAS):
        yield f"  {cut(name, 36):<36}{count:>8,}  {FULL * max(round(count / most * _BAR), 1)}"
    if len(found) > _REPLICAS:
        yield f"  … and {len(found) - _REPLICAS:,} more"
