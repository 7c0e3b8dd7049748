"""Code that waits 500 ms, and more questions than 500 places can take: the limit must find that more is better."""

from typing import Final

from tests.figures.load import generator_note
from tests.figures.numbers import counted
from tests.figures.phase import Phase, Step
from tests.figures.report import Section, ms
from tests.figures.run import Run

CONNECTIONS: Final = 600
PLACES: Final = 500
WAIT: Final = 0.5


async def measure(run: Run) -> Section:
    """Warm up, measure."""
    steps = [Step(seconds=run.plan.seconds(30, 10)), Step(seconds=run.plan.seconds(10, 4))]
    async with run.askd("wait") as askd:
        phase = Phase(port=askd.port, connections=CONNECTIONS, steps=steps, patience=10, pause=0.2)
        samples = await run.shoot(phase)
    section = Section(
        title="Code that waits 500 ms", head=("step", "seconds", "answers a second", "p50", "p99", "outcomes")
    )
    for step, sample in zip(("warm-up", "measured"), samples, strict=True):
        section.rows.append(
            (
                step,
                f"{sample.seconds:.0f}",
                f"{sample.goodput:,.0f}",
                ms(sample.p50),
                ms(sample.p99),
                counted(sample.outcomes),
            )
        )
    section.notes += [
        f"{CONNECTIONS} connections in a closed loop; who is refused asks again after 100–300 ms",
        generator_note(samples),
    ]
    aim = 0.95 * PLACES / WAIT
    rate, others = samples[1].goodput, samples[1].other_than(200, 503)
    section.judge("waiting code", f"≥ {aim:,.0f}/s: 95 % of {PLACES} places", f"{rate:,.0f}/s", met=rate >= aim)
    section.judge("waiting code: statuses", "only 200 and 503", f"others: {counted(others)}", met=not others)
    return section
