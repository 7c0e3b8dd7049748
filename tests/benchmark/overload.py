"""Goodput under overload: up to thirty times what askd can do, 4 ms of processor time a question, on the loop."""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.figures import excess
from tests.figures import plan as figures
from tests.figures.load import generator_note
from tests.figures.numbers import Sample, counted
from tests.figures.run import Run

from . import measure, report

AIMS: Final[Mapping[float, float | None]] = {1.0: None, 10.0: 0.95, 30.0: 0.85}
"""What is offered, as a multiple of what askd can do, and the least share of its best goodput; None: no aim."""
CODE: Final = "never"
"""Of the suite's codes the one that never awaits."""
FULL: Final = 5.0
"""Length of a turn in seconds below which this part is only tried."""


class Overload(NamedTuple):
    """Answers a second in a closed loop, and what came of each multiple of them."""

    capacity: float
    offered: dict[float, Sample]


def run(plan: measure.Plan) -> Overload:
    """Offer one after the other."""
    return asyncio.run(_run(plan))


def lines(found: Overload) -> list[str]:
    """Table of goodput, against its best."""
    rows, best = [], max(sample.goodput for sample in found.offered.values())
    for factor, sample in found.offered.items():
        share, least = sample.goodput / best, AIMS[factor]
        aim = report.verdict(f"≥ {least:g}", met=share >= least) if least else ""
        goodput, times = f"{sample.goodput:,.1f}", f"{sample.p99 * 1e3:.1f}"
        offered = f"{factor * found.capacity:,.0f}"
        rows.append([f"{factor:g}×", offered, goodput, f"{share:.3f}", aim, times, counted(sample.outcomes)])
    head = ("load", "questions/s", "goodput/s", "÷ its best", "aim", "p99 ms", "outcomes")
    note = f"{excess.CODES[CODE].capitalize()}; {generator_note([*found.offered.values()])}."
    return ["## Overload: 4 ms of processor time a question", "", *report.table(head, rows), "", note]


async def _run(plan: measure.Plan) -> Overload:
    suite = Run(
        figures.Plan(
            folder=plan.folder, quick=plan.seconds < FULL, server_core=plan.server_core, load_core=plan.load_core
        )
    )
    async with suite.askd(CODE, FIGURES_LOOPS=str(figures.loops(excess.COST))) as askd:
        most = await excess.capacity(suite, askd.port)
        offered = {factor: (await excess.offer(suite, askd.port, factor * most))[1] for factor in AIMS}
    return Overload(most, offered)
