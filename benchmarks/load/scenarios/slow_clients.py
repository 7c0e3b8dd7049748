"""A thousand connections that say nothing, drip, or do not read: each ends in its time, good clients feel nothing."""

import asyncio
import shutil
from collections.abc import Sequence
from typing import Final, NamedTuple

from tests.figures import wire
from tests.figures.load import generator_note
from tests.figures.numbers import Sample, counted, percentile
from tests.figures.report import Section, ms
from tests.figures.run import Run
from tests.figures.server import Askd

from . import slowhttptest
from .rude import Rude, note_ends

EACH: Final = 250
GAP: Final = 0.01
"""Seconds between two of them: large answers cost something, too, and are not what is measured."""
SLACK: Final = 3.0
"""Seconds beyond its bound in which a connection is still closed in its time."""
GOOD: Final = 0.1
"""Seconds that a good client's answer may take at the 99th percentile."""
RATE: Final = 50.0
"""Questions a second of the good clients."""


class Kind(NamedTuple):
    """Clients of one kind, the bound in seconds on their connections, and the status they must read; empty: any."""

    name: str
    bound: float
    rudes: Sequence[Rude]
    status: str = ""


async def measure(run: Run) -> Section:
    """The rude clients of this file, then slowhttptest's attacks, each with good clients beside them."""
    bounds = {name: run.plan.seconds(full, quick) for name, full, quick in (
        ("HEADER_TIMEOUT", 10, 3), ("BODY_TIMEOUT", 5, 2), ("WRITE_TIMEOUT", 20, 3), ("DEADLINE", 30, 6)
    )}  # fmt: skip
    variables = {f"ASKD_{name}": f"{seconds:g}s" for name, seconds in bounds.items()}
    head = ("kind", "connections", "bound", "closed in time", "late or never", "p50", "max", "got")
    section = Section(title=f"Slow clients: {4 * EACH:,} connections", head=head)
    async with run.askd("large", **variables) as askd:
        await _own(run, askd, bounds, section)
    if shutil.which("slowhttptest"):
        async with run.askd("large", **variables) as askd:
            for attack in slowhttptest.ATTACKS:
                found = await slowhttptest.run(run, askd, attack, longest=max(bounds.values()))
                section.notes.append(f"slowhttptest {attack.flag} ({attack.name}): {found.exit_status}")
                seen = f"{found.left} open after {found.seconds:.0f} s"
                met = not found.left
                section.judge(f"slowhttptest {attack.flag}: {attack.name}", "all closed in time", seen, met=met)
                judge_good(section, f"slowhttptest {attack.flag}: a good client's p99", found.good)
    else:
        section.judge("slowhttptest", "to be run", "skipped: it is not installed", met=None)
    return section


async def _own(run: Run, askd: Askd, bounds: dict[str, float], section: Section) -> None:
    kinds = _kinds(bounds)
    everyone = [rude for kind in kinds for rude in kind.rudes]
    length = max(bounds.values()) + len(everyone) * GAP + 2 * SLACK
    good = asyncio.create_task(run.open(askd.port, rate=RATE, seconds=length, connections=8, patience=5))
    noting = asyncio.create_task(note_ends(askd.port, everyone))
    try:
        for rude in everyone:
            await rude.open(askd.port)
            await asyncio.sleep(GAP)
        sample = await good
    finally:
        for task in (good, noting):
            task.cancel()
        for rude in everyone:
            rude.close()
    for kind in kinds:
        _show(section, kind)
    section.notes.append(f"good clients: {counted(sample.outcomes)}; {generator_note([sample])}")
    judge_good(section, "slow clients: a good one's p99", sample)


def _kinds(bounds: dict[str, float]) -> list[Kind]:
    large = wire.get("/ask?q=large")
    head = b"GET /ask?q=x HTTP/1.1\r\nHost: x\r\nX: "
    body = b'POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"q":"'
    header = bounds["HEADER_TIMEOUT"]
    return [
        Kind("says nothing", header, [Rude() for _ in range(EACH)]),
        Kind("drips headers", header, [Rude(head, drip=b"a") for _ in range(EACH)]),
        Kind("drips its body", bounds["BODY_TIMEOUT"], [Rude(body, drip=b"a") for _ in range(EACH)], "408"),
        Kind("reads nothing", bounds["WRITE_TIMEOUT"], [Rude(large, reads=0) for _ in range(EACH // 2)]),
        Kind("reads slowly", bounds["DEADLINE"], [Rude(large, reads=64) for _ in range(EACH // 2)]),
    ]


def judge_good(section: Section, what: str, sample: Sample) -> None:
    """Judge the clients that behave."""
    met = 0 < sample.p99 < GOOD and not sample.other_than(200)
    section.judge(what, f"< {ms(GOOD)}, only 200", f"{ms(sample.p99)}, {counted(sample.outcomes)}", met=met)


def _show(section: Section, kind: Kind) -> None:
    times = [rude.lasted for rude in kind.rudes if rude.lasted is not None]
    in_time, all_of = sum(each <= kind.bound + SLACK for each in times), len(kind.rudes)
    got = _statuses(kind.rudes)
    row = (kind.name, str(all_of), f"{kind.bound:g} s", str(in_time), str(all_of - in_time))
    middle, longest = (f"{each:.1f} s" if times else "—" for each in (percentile(times, 0.5), max(times, default=0.0)))
    section.rows.append((*row, middle, longest, counted(got)))
    told = not kind.status or got == {kind.status: all_of}
    aim = f"all closed within {kind.bound:g} s" + (f", with {kind.status}" if kind.status else "")
    seen = f"{in_time} of {all_of}" + (f", with {counted(got)}" if kind.status else "")
    section.judge(f"slow clients: {kind.name}", aim, seen, met=in_time == all_of and told)


def _statuses(rudes: Sequence[Rude]) -> dict[str, int]:
    found: dict[str, int] = {}
    for rude in rudes:
        found[rude.status] = found.get(rude.status, 0) + 1
    return found
