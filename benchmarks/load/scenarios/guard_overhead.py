"""What all guards cost while none of them acts: the exchange now, and before the guards, in turns."""

import asyncio
import shutil
import statistics
import subprocess
import tarfile
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmark import load
from tests.figures.report import Section, ms
from tests.figures.run import Run, Skipped
from tests.figures.server import SERVED, Askd, running

SUBJECT: Final = "Tell what was measured, and where the time goes"
"""The last commit before the guards."""
CONNECTIONS: Final = 32
AIM: Final = 0.88
"""Throughput now, as a share of that before, at least."""
ROOT: Final = Path(__file__).parents[3]
CASES: Final = {
    "hello, from the book": (("serve",), "/ask?q=hello", {}),
    "a trivial function": (("serve", f"{SERVED}:quick"), "/ask?q=x", {}),
    "the same, with a rate": (("serve", f"{SERVED}:quick"), "/ask?q=x", {"ASKD_RATE": "1000000/s"}),
}
"""How askd is started, what is asked, and what is set for askd as it is now."""


class Turn(NamedTuple):
    """One turn: answers a second, p99 and processor time for each answer in seconds, and what was no answer."""

    rate: float
    p99: float
    cpu: float
    failures: int


async def measure(run: Run) -> Section:
    """Measure each case, A B A B."""
    revision = await asyncio.to_thread(_revision, run.plan.baseline)
    before = await asyncio.to_thread(_sources, revision, run.plan.folder / "before")
    head = ("case", "before", "now", "now ÷ before", "CPU before", "CPU now", "p99 before", "p99 now", "failures")
    section = Section(title=f"What the guards cost, against {revision[:12]}", head=head)
    section.notes.append("wrk" if shutil.which("wrk") else "the suite's own generator: wrk is not installed")
    for case in CASES:
        old, new = await _turns(run, case, before)
        _show(section, case, old, new)
    return section


async def _turns(run: Run, case: str, before: Path) -> tuple[list[Turn], list[Turn]]:
    """Load both in turns: what disturbs the machine for a while disturbs both."""
    arguments, target, variables = CASES[case]
    old: list[Turn] = []
    new: list[Turn] = []
    async with AsyncExitStack() as stack:
        servers = [
            (await stack.enter_async_context(running(run.plan, *arguments, python_path=before)), old),
            (await stack.enter_async_context(running(run.plan, *arguments, python_path=ROOT, **variables)), new),
        ]
        for askd, _ in servers:
            await _turn(run, askd, target, run.plan.seconds(2, 1))
        for _ in range(run.plan.count(6, 2)):
            for askd, turns in servers:
                turns.append(await _turn(run, askd, target, run.plan.seconds(5, 1)))
            servers.reverse()
    return old, new


async def _turn(run: Run, askd: Askd, target: str, seconds: float) -> Turn:
    used = askd.processor_time()
    if shutil.which("wrk"):
        url, core = f"http://127.0.0.1:{askd.port}{target}", run.plan.load_core or 0
        sample = await asyncio.to_thread(load.wrk, url, core=core, connections=CONNECTIONS, seconds=seconds)
        answers, rate, p99, failures = sample.answers, sample.rate, sample.p99, sample.failures
    else:
        own = await run.closed(askd.port, connections=CONNECTIONS, seconds=seconds, target=target, patience=10)
        answers, rate, p99, failures = own.answers, own.goodput, own.p99, sum(own.other_than(200).values())
    return Turn(rate, p99, (askd.processor_time() - used) / max(answers, 1), failures)


def _show(section: Section, case: str, old: list[Turn], new: list[Turn]) -> None:
    def middle(turns: list[Turn], field: str) -> float:
        return float(statistics.median(getattr(turn, field) for turn in turns))

    ratio = statistics.median(now.rate / then.rate for then, now in zip(old, new, strict=True))
    cpus = [f"{middle(turns, 'cpu') * 1e6:.1f} µs" for turns in (old, new)]
    rates = [f"{middle(turns, 'rate'):,.0f}/s" for turns in (old, new)]
    p99s = [ms(middle(turns, "p99")) for turns in (old, new)]
    failures = sum(turn.failures for turn in (*old, *new))
    section.rows.append((case, *rates, f"{ratio:.3f}", *cpus, *p99s, str(failures)))
    seen = f"throughput {ratio - 1:+.1%}, CPU each {middle(new, 'cpu') / middle(old, 'cpu') - 1:+.1%}"
    section.judge(f"cost: {case}", f"≤ {1 - AIM:.0%} off", seen, met=ratio >= AIM and not failures)


def _revision(wanted: str) -> str:
    """The commit to measure against. Raises Skipped outside of a checkout, or where it is not there."""
    command = ["git", "rev-parse", "--verify", f"{wanted}^{{commit}}"] if wanted else [
        "git", "log", "--format=%H", "--max-count=1", "--fixed-strings", f"--grep={SUBJECT}"
    ]  # fmt: skip
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not found.stdout.strip():
        raise Skipped(f"no commit to measure against: give one with --baseline ({found.stderr.strip() or SUBJECT})")
    return found.stdout.strip()


def _sources(revision: str, folder: Path) -> Path:
    """Put the sources of a commit into a folder; no work tree that git would remember."""
    done = subprocess.run(["git", "archive", revision, "service"], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
