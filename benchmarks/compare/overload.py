"""Goodput under overload: up to thirty times what askd can do, 4 ms of processor time a question, on the loop."""

import asyncio
import statistics
from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.figures import excess
from tests.figures import plan as figures
from tests.figures.load import generator_note
from tests.figures.numbers import Sample, counted, total
from tests.figures.phase import Phase, Step
from tests.figures.run import Run

from . import measure, report

AIMS: Final[Mapping[float, float | None]] = {1.0: None, 10.0: 0.95, 30.0: 0.85}
"""What is offered, as a multiple of what askd can do, and the least share of its best goodput; None: no aim."""
CODE: Final = "never"
"""Of the suite's codes the one that never awaits."""
FULL: Final = 5.0
"""Length of a turn in seconds below which this part is only tried."""
WARM: Final = 30.0
"""Seconds of the largest load before anything counts: by then code, limits and caches are what they stay."""
SETTLING: Final = 2.0
"""Seconds of each load before its turn counts."""


class Overload(NamedTuple):
    """Answers a second in a closed loop, and what came of each multiple of them, in turns."""

    capacity: float
    offered: dict[float, list[Sample]]


def run(plan: measure.Plan) -> Overload:
    """Offer them in turns, so that what else the machine does falls on all of them."""
    return asyncio.run(_run(plan))


def lines(found: Overload) -> list[str]:
    """Table of goodput, against the best of the same turn: the median over the turns."""
    best = [
        max(samples, key=lambda each: each.goodput).goodput for samples in zip(*found.offered.values(), strict=True)
    ]
    rows = []
    for factor, samples in found.offered.items():
        shares = [sample.goodput / most for sample, most in zip(samples, best, strict=True)]
        share, least = statistics.median(shares), AIMS[factor]
        aim = report.verdict(f"≥ {least:g}", met=share >= least) if least else ""
        goodput = f"{statistics.median(sample.goodput for sample in samples):,.1f}"
        times = f"{max(sample.p99 for sample in samples) * 1e3:.1f}"
        outcomes = counted(total(sample.outcomes for sample in samples))
        among = f"{min(shares):.3f}–{max(shares):.3f}"
        rate = f"{factor * found.capacity:,.0f}"
        rows.append([f"{factor:g}×", rate, goodput, f"{share:.3f}", among, aim, times, outcomes])
    head = ("load", "questions/s", "goodput/s", "÷ its best", "lowest–highest", "aim", "p99 ms", "outcomes")
    offered = [sample for samples in found.offered.values() for sample in samples]
    note = f"{excess.CODES[CODE].capitalize()}; {generator_note(offered)}."
    return ["## Overload: 4 ms of processor time a question", "", *report.table(head, rows), "", note]


async def _run(plan: measure.Plan) -> Overload:
    suite = Run(
        figures.Plan(
            folder=plan.folder, quick=plan.seconds < FULL, server_core=plan.server_core, load_core=plan.load_core
        )
    )
    async with suite.askd(CODE, FIGURES_LOOPS=str(figures.loops(excess.COST))) as askd:
        most = await excess.capacity(suite, askd.port)
        turn = [
            step
            for factor in AIMS
            for step in (
                Step(seconds=suite.plan.seconds(SETTLING, 0.5), rate=factor * most),
                Step(seconds=plan.seconds, rate=factor * most),
            )
        ]
        warm = Step(seconds=suite.plan.seconds(WARM, 1), rate=max(AIMS) * most)
        phase = Phase(port=askd.port, connections=excess.CONNECTIONS, steps=[warm, *turn * plan.rounds])
        counts = (await suite.shoot(phase))[2::2]
    return Overload(most, {factor: counts[number :: len(AIMS)] for number, factor in enumerate(AIMS)})
