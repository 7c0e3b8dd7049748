"""The figures as Markdown and as JSON, with the versions of everything that they depend on."""

import importlib.metadata
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from . import load
from .measure import Scrapes, Start

PACKAGES: Final = ("askd", "aiohttp", "uvloop", "prometheus-client", "structlog", "fastapi", "uvicorn", "httptools")
AIMS: Final = {"bare aiohttp": 1.8, "FastAPI": 9.0, "podinfo": 1.6, "raw asyncio protocol": 0.45}
"""Throughput of askd as a multiple of the other's, at least."""
CODE_AIMS: Final = {"bare aiohttp": 0.7}
"""The same for a trivial function behind askd."""
START_AIM: Final = 1.5
"""Start-up and memory of askd as a multiple of the bare app's, at most."""
TRACED_AIM: Final = 1.1
"""CPU time of an answer with 1 % of the exchanges traced, as a multiple of one without traces, at most."""
SCRAPE_AIM: Final = 0.1
"""Seconds that a scrape may take at the 99th percentile."""


def throughput(
    samples: Mapping[str, Sequence[load.Sample]],
    *,
    title: str = "Throughput",
    of: str = "askd",
    aims: Mapping[str, float] = AIMS,
) -> list[str]:
    """Table of throughput, cost and latency; ratios are of the medians of this one run, high where `of` is good."""
    base = load.median(samples[of])
    rows = []
    for name, runs in samples.items():
        each, rates = load.median(runs), [run.rate for run in runs]
        aim = aims.get(name)
        row = [name, f"{each.rate:,.0f}", f"{min(rates):,.0f}–{max(rates):,.0f}", f"{base.rate / each.rate:.2f}"]
        row += [verdict(f"≥ {aim:g}", met=base.rate / each.rate >= aim) if aim else ""]
        row += [
            f"{each.cpu * 1e6:.1f}",
            f"{each.cpu / base.cpu:.2f}",
            f"{each.p50 * 1e3:.2f}",
            f"{each.p99 * 1e3:.2f}",
            str(each.failures),
        ]
        rows.append(row)
    ratios = ("answers/s", "lowest–highest", f"{of} ÷ it", "aim")
    head = ("server", *ratios, "CPU µs each", "by CPU", "p50 ms", "p99 ms", "failures")
    return [f"## {title}", "", *table(head, rows)]


def code(samples: Mapping[str, Sequence[load.Sample]]) -> list[str]:
    """Tables of askd's servers of a trivial function, each beside the bare app that stands after it."""
    names = iter(samples)
    pairs = [(of, {name: samples[name] for name in (of, other)}) for of, other in zip(names, names, strict=True)]
    return [line for of, pair in pairs for line in [*throughput(pair, title=of, of=of, aims=CODE_AIMS), ""]]


def tracing(samples: Mapping[str, Sequence[load.Sample]]) -> list[str]:
    """Table of what an answer costs with traces, against askd without; the aim is for the smaller share.

    Costs are those of each server's best turn: what else a machine does only adds to them, and they differ by little.
    """
    rows, base = [], load.median(samples["askd"])
    least = {name: min(run.cpu for run in runs) for name, runs in samples.items()}
    for name, runs in samples.items():
        each = load.median(runs)
        cost = least[name] / least["askd"]
        aim = verdict(f"≤ {TRACED_AIM:g}", met=cost <= TRACED_AIM) if name.endswith(" 1 %") else ""
        figures = (f"{least[name] * 1e6:.1f}", f"{cost:.2f}", f"{each.rate / base.rate:.2f}")
        rows.append([name, *figures, aim, f"{each.p99 * 1e3:.2f}", str(each.failures)])
    head = ("server", "CPU µs each", "÷ untraced", "by rate", "aim", "p99 ms", "failures")
    return ["## Tracing", "", *table(head, rows)]


def starts(found: Mapping[str, Sequence[Start]]) -> list[str]:
    """Table of start-up and idle memory, against the bare app."""
    rows, figures = [], {name: _start(runs) for name, runs in found.items()}
    seconds, resident = figures["bare aiohttp"]
    for name, each in figures.items():
        times, sizes = each[0] / seconds, each[1] / resident
        aim = verdict(f"≤ {START_AIM:g}", met=max(times, sizes) <= START_AIM) if name == "askd" else ""
        rows.append([name, f"{each[0] * 1e3:.0f}", f"{times:.2f}", f"{each[1] / 2**20:.1f}", f"{sizes:.2f}", aim])
    head = ("server", "exec to first 200, ms", "÷ bare", "resident MiB", "÷ bare", "aim for both")
    return ["## Start-up and idle memory", "", *table(head, rows)]


def scrapes(found: Scrapes) -> list[str]:
    """One line on the ops port under load."""
    aim = verdict(f"< {SCRAPE_AIM * 1e3:.0f} ms", met=found.p99 < SCRAPE_AIM)
    times = f"p50 {found.p50 * 1e3:.1f} ms, p99 {found.p99 * 1e3:.1f} ms ({aim})"
    load_meanwhile = f"{found.load.rate:,.0f} answers/s, {found.load.failures} failures"
    line = f"{found.times} scrapes of {found.size:,} bytes: {times}; meanwhile {load_meanwhile}."
    return ["## Scrapes of the ops port under load", "", line]


def million(text: str) -> list[str]:
    """What the script for the book of a million entries prints."""
    return ["## A book of a million entries", "", "```", text, "```"]


def versions() -> dict[str, str]:
    """What the figures depend on; a package that is not installed is left out."""
    found = {"python": platform.python_version(), "kernel": platform.release(), "cpu": _cpu(), "wrk": _wrk()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def as_json(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Turn named tuples into objects, for `--json`."""
    return {name: _plain(section) for name, section in sections.items()}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, the first column to the left and the others to the right."""
    align = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, align, *rows)]


def verdict(aim: str, *, met: bool) -> str:
    """An aim, and what became of it."""
    return f"{aim}: {'met' if met else 'missed'}"


def _start(runs: Sequence[Start]) -> tuple[float, float]:
    return statistics.median(run.seconds for run in runs), statistics.median(run.resident for run in runs)


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(each) for name, each in value._asdict().items()}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _cpu() -> str:
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return f"{os.cpu_count()} × {names[0] if names else platform.machine()}"


def _wrk() -> str:
    text = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return text.removeprefix("wrk ").split(" ", 1)[0]
