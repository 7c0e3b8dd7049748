"""Overhead of all guards while none of them acts, compared with the last commit before the guards."""

import asyncio
import shutil
import statistics
import subprocess
import tarfile
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.compare import wrk
from benchmarks.load.askd_process import WORKLOADS_FILE, AskdProcess, running_askd
from benchmarks.load.report import Section, format_ms
from benchmarks.load.scenario_context import ScenarioContext, ScenarioSkipped

BASELINE_SUBJECT: Final = "Tell what was measured, and where the time goes"
"""Subject of the last commit before the guards."""
CONNECTIONS: Final = 32
AIM: Final = 0.88
"""Minimum throughput, as a share of the baseline's."""
ROOT: Final = Path(__file__).parents[3]
CASES: Final = {
    "hello, from the book": (("serve",), "/ask?q=hello", {}),
    "a trivial function": (("serve", f"{WORKLOADS_FILE}:quick"), "/ask?q=x", {}),
    "the same with a rate limit": (
        ("serve", f"{WORKLOADS_FILE}:quick"),
        "/ask?q=x",
        {"ASKD_RATE_LIMIT": "1000000/s"},
    ),
}
"""Arguments, request target, and variables of the present askd (the baseline does not have these settings)."""


class Sources(NamedTuple):
    """Sources of askd: the package to run, and the directory that contains it."""

    package: str
    python_path: Path


class Measurement(NamedTuple):
    """One measurement: responses per second, p99 and CPU time per response in seconds, number of failures."""

    rate: float
    p99: float
    cpu: float
    failures: int


async def measure(run: ScenarioContext) -> Section:
    """Measure each case with the baseline and the present askd, alternately."""
    revision = await asyncio.to_thread(_find_baseline, run.plan.baseline)
    baseline = await asyncio.to_thread(_extract_sources, revision, run.plan.folder / "baseline")
    head = ("case", "before", "now", "now ÷ before", "CPU before", "CPU now", "p99 before", "p99 now", "failures")
    section = Section(title=f"Overhead of the guards, compared with {revision[:12]}", head=head)
    section.notes.append(
        "load: wrk" if shutil.which("wrk") else "load: built-in generator, because wrk is not installed"
    )
    for case in CASES:
        before, now = await _run_alternately(run, case, baseline)
        _add_row(section, case, before, now)
    return section


async def _run_alternately(
    run: ScenarioContext, case: str, baseline: Sources
) -> tuple[list[Measurement], list[Measurement]]:
    """Measure both alternately, so that a disturbance of the machine affects both."""
    arguments, target, variables = CASES[case]
    before: list[Measurement] = []
    now: list[Measurement] = []
    async with AsyncExitStack() as stack:
        baseline_askd = await stack.enter_async_context(
            running_askd(run.plan, *arguments, package=baseline.package, python_path=baseline.python_path)
        )
        present_askd = await stack.enter_async_context(
            running_askd(run.plan, *arguments, python_path=None, **variables)
        )
        servers = [(baseline_askd, before), (present_askd, now)]
        for askd, _ in servers:
            await _measure_once(run, askd, target, run.plan.seconds(2, 1))
        for _ in range(run.plan.count(6, 2)):
            for askd, measurements in servers:
                measurements.append(await _measure_once(run, askd, target, run.plan.seconds(5, 1)))
            servers.reverse()
    return before, now


async def _measure_once(run: ScenarioContext, askd: AskdProcess, target: str, seconds: float) -> Measurement:
    cpu_before = askd.cpu_time()
    if shutil.which("wrk"):
        url, core = f"http://127.0.0.1:{askd.port}{target}", run.plan.load_core or 0
        report = await asyncio.to_thread(wrk.run_wrk, url, core=core, connections=CONNECTIONS, seconds=seconds)
        responses, rate, p99, failures = report.responses, report.rate, report.p99, report.failures
    else:
        sample = await run.closed_loop(askd.port, connections=CONNECTIONS, seconds=seconds, target=target, timeout=10)
        responses, rate, p99 = sample.answers, sample.goodput, sample.p99
        failures = sum(sample.outcomes_except(200).values())
    return Measurement(rate, p99, (askd.cpu_time() - cpu_before) / max(responses, 1), failures)


def _add_row(section: Section, case: str, before: list[Measurement], now: list[Measurement]) -> None:
    def median(measurements: list[Measurement], field: str) -> float:
        return float(statistics.median(getattr(measurement, field) for measurement in measurements))

    ratio = statistics.median(new.rate / old.rate for old, new in zip(before, now, strict=True))
    cpus = [f"{median(measurements, 'cpu') * 1e6:.1f} µs" for measurements in (before, now)]
    rates = [f"{median(measurements, 'rate'):,.0f}/s" for measurements in (before, now)]
    p99s = [format_ms(median(measurements, "p99")) for measurements in (before, now)]
    failures = sum(measurement.failures for measurement in (*before, *now))
    section.rows.append((case, *rates, f"{ratio:.3f}", *cpus, *p99s, str(failures)))
    measured = f"throughput {ratio - 1:+.1%}, CPU time {median(now, 'cpu') / median(before, 'cpu') - 1:+.1%}"
    section.add_verdict(
        f"overhead: {case}", f"throughput ≥ {AIM - 1:+.0%}", measured, met=ratio >= AIM and not failures
    )


def _find_baseline(revision: str) -> str:
    """Return the commit of a revision, or (empty) of the last commit before the guards.

    Raises:
        ScenarioSkipped: The commit does not exist, or this is not a checkout.
    """
    command = ["git", "rev-parse", "--verify", f"{revision}^{{commit}}"] if revision else [
        "git", "log", "--format=%H", "--max-count=1", "--fixed-strings", f"--grep={BASELINE_SUBJECT}"
    ]  # fmt: skip
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not result.stdout.strip():
        reason = result.stderr.strip() or f"no commit {BASELINE_SUBJECT!r}"
        raise ScenarioSkipped(f"no baseline commit: set one with --baseline ({reason})")
    return result.stdout.strip()


def _extract_sources(revision: str, folder: Path) -> Sources:
    """Extract the sources of a commit. Unlike `git worktree`, this leaves nothing behind in the repository."""
    result = subprocess.run(["git", "archive", revision, "service"], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(result.stdout)) as archive:
        archive.extractall(folder, filter="data")
    # Until the package was renamed to askd, it was the folder `service` itself.
    return Sources("askd", folder / "service") if (folder / "service" / "askd").is_dir() else Sources("service", folder)
