"""Ops endpoints under ten times the capacity. In all other scenarios they are watched as well, and shown at the end."""

from typing import Final

from tests.figures.load import generator_note
from tests.figures.numbers import counted
from tests.figures.plan import loops
from tests.figures.report import Section
from tests.figures.run import Run
from tests.figures.watch import Watch

RATE: Final = 2500.0
"""Questions a second, of 4 ms each."""


async def measure(run: Run) -> Section:
    """Watch one server under overload."""
    own = Watch()
    async with run.askd("never", FIGURES_LOOPS=str(loops(0.004))) as askd, own.on(askd):
        sample = await run.open(askd.port, rate=RATE, seconds=run.plan.seconds(20, 4), connections=400)
    section = own.section()
    section.title = "Ops endpoints under overload"
    section.verdicts = [each._replace(what="ops endpoints, overload alone") for each in section.verdicts]
    section.notes += [f"meanwhile {RATE:,.0f}/s offered: {counted(sample.outcomes)}", generator_note([sample])]
    return section
