"""docs/metrics.md, made from a live scrape and the meanings. To write it anew: `python -m tests.metrics.page`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.metrics_core import Metric

from service.app import create_app
from service.errors import Problem
from service.settings import Settings
from service.telemetry.metrics import MALFORMED, UNMATCHED
from service.telemetry.tally import METHODS
from tests.metrics import live
from tests.metrics.meanings import GROUPS, OPEN_LABELS, Meaning

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
_ALWAYS: Final = {200, 204, 304, 499}
_INTRODUCTION: Final = """\
# Metrics

<!-- Made from a scrape of running servers by tests/metrics/page.py: change service/ or tests/metrics/meanings.py. -->

What `/metrics` exposes, in the order of an exchange. It is a contract: from one minor version to the next names and
labels are added and not removed, and a renamed metric is there under both names for one more minor release. How many
series there are depends on what the operator sets up and never on what clients send. Counters are there from the start,
at 0, so that their first rise is seen. What is said with *on* is there with that setting or answerer alone.

Prometheus' text or OpenMetrics is sent, whichever is asked for. Beside askd's own there are those of Python
(`python_…`, `process_…`) and of the code's own in `prometheus_client`'s default registry. `…_created` is when a
histogram began.

[Rules, alerts and a dashboard](observe.md) are made of these.
"""


def page(scrape: str) -> str:
    """Return the page for what was scraped."""
    found = live.families(scrape)
    return "\n".join([_INTRODUCTION, *_groups(found), *_labels(found)])


def _groups(found: dict[str, Metric]) -> Iterator[str]:
    for title, group in GROUPS.items():
        yield f"## {title}\n"
        for name, meaning in group.items():
            if name in found:
                yield from _entry(name, found[name], meaning)


def _entry(name: str, family: Metric, meaning: Meaning) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"{family.documentation} *{meaning.question}*\n"
    yield f"- Type: {'gauge' if family.type == 'info' else family.type}"
    yield f"- Unit: {meaning.unit}"
    if labels := live.labels([family]):
        yield f"- Labels: {', '.join(_label(label, values) for label, values in sorted(labels.items()))}"
    if family.type == "histogram":
        yield f"- Buckets: {', '.join(_edges(family))}"
    if meaning.on:
        yield f"- On: {meaning.on}"
    yield ""


def _label(label: str, values: set[str]) -> str:
    return f"`{label}`" + ("" if label in OPEN_LABELS else f" ({', '.join(f'`{value}`' for value in sorted(values))})")


def _edges(family: Metric) -> list[str]:
    edges = {sample.labels["le"] for sample in family.samples if "le" in sample.labels} - {"+Inf"}
    return [f"{float(edge):g}" for edge in sorted(edges, key=float)]


def _labels(found: dict[str, Metric]) -> Iterator[str]:
    """Yield the labels of which a scrape does not show every value."""
    yield "## Labels\n"
    yield "| label | values | of |\n| --- | --- | --- |"
    for label, meaning in OPEN_LABELS.items():
        users = ", ".join(f"`{name}`" for name, family in found.items() if label in live.labels([family]))
        every = _EVERY.get(label, "")
        yield f"| `{label}` | {meaning}{': ' if every else ''}{every} | {users} |"
    yield ""


def _problems(kind: type[Problem]) -> Iterator[int]:
    yield int(kind.status)
    for each in kind.__subclasses__():
        yield from _problems(each)


def _routes() -> set[str]:
    paths = {resource.canonical for resource in create_app(Settings()).router.resources()}
    return {path.replace("/{name}", "") for path in paths - {"/{rest}"}} | {UNMATCHED, MALFORMED}


def _listed(values: set[str]) -> str:
    return ", ".join(f"`{value}`" for value in sorted(values))


_EVERY: Final = {
    "route": _listed(_routes()),
    "method": _listed({*METHODS, "other"}),
    "code": _listed({str(status) for status in {*_ALWAYS, *_problems(Problem)}}),
}


if __name__ == "__main__":
    PAGE.write_text(page(live.scraped()), encoding="utf-8")
