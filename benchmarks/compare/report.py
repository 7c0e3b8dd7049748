"""Reports of the results as Markdown and JSON, with the versions of everything that they depend on."""

import importlib.metadata
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.compare import wrk
from benchmarks.compare.measure import ScrapeResult, StartupSample
from benchmarks.compare.optional_peers import OPTIONAL_AIMS

PACKAGES: Final = ("askd", "aiohttp", "uvloop", "prometheus-client", "structlog", "fastapi", "uvicorn", "httptools")
AIMS: Final = {"bare aiohttp": 1.8, "FastAPI": 9.0, "podinfo": 1.6, "raw asyncio protocol": 0.45, **OPTIONAL_AIMS}
"""Minimum throughput of askd, as a multiple of the other server's."""
FUNCTION_AIMS: Final = {"bare aiohttp": 0.7, "lean aiohttp": 0.85}
"""The same for a trivial function served by askd."""
START_AIM: Final = 1.5
"""Maximum start-up time and memory of askd, as a multiple of the bare app's."""
TRACED_AIM: Final = 1.1
"""Maximum CPU time of a request if 1 % are traced, as a multiple of that without tracing."""
SCRAPE_AIM: Final = 0.1
"""Maximum p99 of a scrape in seconds."""


def throughput(
    samples: Mapping[str, Sequence[wrk.Sample]],
    *,
    title: str = "Throughput",
    subject: str = "askd",
    aims: Mapping[str, float] = AIMS,
) -> list[str]:
    """Return the table of throughput, CPU time and latency. A high ratio means that `subject` is better."""
    base = wrk.median(samples[subject])
    rows = []
    for name, runs in samples.items():
        median, rates = wrk.median(runs), [run.rate for run in runs]
        aim = aims.get(name)
        row = [name, f"{median.rate:,.0f}", f"{min(rates):,.0f}–{max(rates):,.0f}", f"{base.rate / median.rate:.2f}"]
        row += [verdict(f"≥ {aim:g}", met=base.rate / median.rate >= aim) if aim else ""]
        row += [
            f"{median.cpu * 1e6:.1f}",
            f"{median.cpu / base.cpu:.2f}",
            f"{median.p50 * 1e3:.2f}",
            f"{median.p99 * 1e3:.2f}",
            str(median.failures),
        ]
        rows.append(row)
    ratios = ("responses/s", "lowest–highest", f"{subject} ÷ other", "aim")
    head = ("server", *ratios, "CPU µs per request", "by CPU", "p50 ms", "p99 ms", "failures")
    return [f"## {title}", "", *table(head, rows)]


def functions(samples: Mapping[str, Sequence[wrk.Sample]]) -> list[str]:
    """Return a table for each server of a trivial function, with the bare app that follows it in `samples`."""
    names = iter(samples)
    pairs = [(askd, {name: samples[name] for name in (askd, bare)}) for askd, bare in zip(names, names, strict=True)]
    return [
        line for name, pair in pairs for line in [*throughput(pair, title=name, subject=name, aims=FUNCTION_AIMS), ""]
    ]


def tracing(samples: Mapping[str, Sequence[wrk.Sample]]) -> list[str]:
    """Return the table of CPU times with tracing, compared with askd without. The aim is for the smaller share.

    CPU times are those of the best round: other load on the machine only adds to them, and the differences are small.
    """
    rows, base = [], wrk.median(samples["askd"])
    best = {name: min(run.cpu for run in runs) for name, runs in samples.items()}
    for name, runs in samples.items():
        median = wrk.median(runs)
        cost = best[name] / best["askd"]
        aim = verdict(f"≤ {TRACED_AIM:g}", met=cost <= TRACED_AIM) if name.endswith(" 1 %") else ""
        values = (f"{best[name] * 1e6:.1f}", f"{cost:.2f}", f"{median.rate / base.rate:.2f}")
        rows.append([name, *values, aim, f"{median.p99 * 1e3:.2f}", str(median.failures)])
    head = ("server", "CPU µs per request", "÷ untraced", "by rate", "aim", "p99 ms", "failures")
    return ["## Tracing", "", *table(head, rows)]


def startup(samples: Mapping[str, Sequence[StartupSample]]) -> list[str]:
    """Return the table of start-up time and idle memory, compared with the bare app."""
    rows, medians = [], {name: _median_startup(runs) for name, runs in samples.items()}
    bare_seconds, bare_size = medians["bare aiohttp"]
    for name, (seconds, size) in medians.items():
        time_ratio, size_ratio = seconds / bare_seconds, size / bare_size
        aim = verdict(f"≤ {START_AIM:g}", met=max(time_ratio, size_ratio) <= START_AIM) if name == "askd" else ""
        rows.append(
            [name, f"{seconds * 1e3:.0f}", f"{time_ratio:.2f}", f"{size / 2**20:.1f}", f"{size_ratio:.2f}", aim]
        )
    head = ("server", "exec to first 200, ms", "÷ bare", "resident MiB", "÷ bare", "aim for both")
    return ["## Start-up and idle memory", "", *table(head, rows)]


def scrapes(result: ScrapeResult) -> list[str]:
    """Return the report of scrapes under load."""
    aim = verdict(f"< {SCRAPE_AIM * 1e3:.0f} ms", met=result.p99 < SCRAPE_AIM)
    times = f"p50 {result.p50 * 1e3:.1f} ms, p99 {result.p99 * 1e3:.1f} ms ({aim})"
    load = f"{result.load.rate:,.0f} responses/s, {result.load.failures} failures"
    line = f"{result.scrapes} scrapes of {result.size:,} bytes: {times}; load: {load}."
    return ["## Scrapes of the ops port under load", "", line]


def million(text: str) -> list[str]:
    """Return the section with the output of the script for the book of a million entries."""
    return ["## A book of a million entries", "", "```", text, "```"]


def versions() -> dict[str, str]:
    """Return the versions of Python, kernel, CPU, wrk and the installed packages."""
    versions = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "wrk": _wrk_version(),
    }
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def as_json(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections with named tuples as mappings, for `--json`."""
    return {name: _to_builtins(section) for name, section in sections.items()}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table. The first column is left-aligned, the others are right-aligned."""
    align = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, align, *rows)]


def verdict(aim: str, *, met: bool) -> str:
    """Return an aim and whether it was met."""
    return f"{aim}: {'met' if met else 'missed'}"


def _median_startup(runs: Sequence[StartupSample]) -> tuple[float, float]:
    return statistics.median(run.seconds for run in runs), statistics.median(run.resident for run in runs)


def _to_builtins(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _to_builtins(item) for name, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {name: _to_builtins(item) for name, item in value.items()}
    return [_to_builtins(item) for item in value] if isinstance(value, list | tuple) else value


def _cpu_model() -> str:
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return f"{os.cpu_count()} × {names[0] if names else platform.machine()}"


def _wrk_version() -> str:
    text = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return text.removeprefix("wrk ").split(" ", 1)[0]
