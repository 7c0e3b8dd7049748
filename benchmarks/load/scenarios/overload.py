"""Up to ten times what askd can do: 4 ms of processor time a question, three codes, with the limiter and without."""

import dataclasses
import math
from typing import Final

from tests.figures.excess import CODES, CONNECTIONS, COST, capacity, offer
from tests.figures.load import LATE, generator_note
from tests.figures.numbers import GAVE_UP, Sample, counted, recovered, total
from tests.figures.phase import Phase, Step
from tests.figures.plan import loops
from tests.figures.report import Section, mib, ms
from tests.figures.run import Run

FACTORS: Final = (0.5, 1.0, 2.5, 10.0)
BUDGET: Final = 0.1
"""The default of ASKD_QUEUE_BUDGET, in seconds."""
UNLIMITED: Final = {"ASKD_CONCURRENCY": "100000", "ASKD_QUEUE": "100000", "ASKD_QUEUE_BUDGET": "60s"}


@dataclasses.dataclass(kw_only=True)
class Found:
    """What one kind of code gives. `memory` is resident bytes before the overload and at its end."""

    unloaded: Sample
    capacity: float
    offered: dict[float, Sample]
    memory: tuple[int, int]
    recovery: float
    collapsed: Sample

    @property
    def best(self) -> float:
        """The best goodput of all loads that were offered."""
        return max(sample.goodput for sample in self.offered.values())


async def measure(run: Run) -> Section:
    """Measure the three kinds of code, one after the other."""
    turns = str(loops(COST))
    head = ("code", "offered", "a second", "goodput", "of best", "p50", "p99", "outcomes", "Retry-After")
    section = Section(title="Overload: 4 ms of processor time a question", head=head)
    for code, title in CODES.items():
        found = await _code(run, code, turns)
        _show(section, title, found)
        _judge(section, title, found)
    return section


async def _code(run: Run, code: str, turns: str) -> Found:
    async with run.askd(code, FIGURES_LOOPS=turns) as askd:
        unloaded = await run.closed(askd.port, connections=1, seconds=run.plan.seconds(4, 1), patience=5)
        most = await capacity(run, askd.port)
        offered: dict[float, Sample] = {}
        before, recovery = 0, math.inf
        for factor in FACTORS:
            if factor <= 1:
                before = askd.resident()
            calm = Step(seconds=run.plan.seconds(6, 4), rate=FACTORS[0] * most)
            samples = await offer(run, askd.port, factor * most, *([calm] if factor == FACTORS[-1] else []))
            offered[factor] = samples[1]
        recovery = recovered(samples[2].windows, 2 * max(offered[FACTORS[0]].p99, unloaded.p99))
        memory = (before, askd.resident())
    async with run.askd(code, FIGURES_LOOPS=turns, **UNLIMITED) as askd:
        steps = [
            Step(seconds=each, rate=FACTORS[-1] * most) for each in (run.plan.seconds(5, 2), run.plan.seconds(10, 3))
        ]
        collapsed = (await run.shoot(Phase(port=askd.port, connections=CONNECTIONS, steps=steps)))[1]
    return Found(unloaded=unloaded, capacity=most, offered=offered, memory=memory, recovery=recovery,
                 collapsed=collapsed)  # fmt: skip


def _show(section: Section, title: str, found: Found) -> None:
    rows = [(f"{factor:g}×", found.capacity * factor, sample) for factor, sample in found.offered.items()]
    for name, rate, sample in (*rows, ("10×, no limiter", found.capacity * FACTORS[-1], found.collapsed)):
        share = sample.goodput / found.best if found.best else 0.0
        retry = ", ".join(f"{count} × {value}s" for value, count in sorted(sample.retry_after.items()))
        section.rows.append(
            (
                title,
                name,
                f"{rate:,.0f}",
                f"{sample.goodput:,.1f}",
                f"{share:.0%}",
                ms(sample.p50),
                ms(sample.p99),
                counted(sample.outcomes),
                retry or "—",
            )
        )
    section.notes.append(
        f"{title}: capacity {found.capacity:,.1f}/s (closed loop, 4 connections), "
        f"unloaded p99 {ms(found.unloaded.p99)}; {generator_note([*found.offered.values(), found.collapsed])}"
    )


def _judge(section: Section, title: str, found: Found) -> None:
    full = found.offered[FACTORS[-1]]
    share = full.goodput / found.best if found.best else 0.0
    section.judge(f"{title}: goodput at 10×", "≥ 90 % of its best", f"{share:.1%}", met=share >= 0.9)
    bound, worst = 2 * (found.unloaded.p99 + BUDGET), max(sample.p99 for sample in found.offered.values())
    seen = f"{ms(worst)} at the most"
    section.judge(
        f"{title}: p99 of the admitted", f"≤ {ms(bound)}: 2× (unloaded + budget)", seen, met=0 < worst <= bound
    )
    others = total(sample.other_than(200, 503, GAVE_UP) for sample in found.offered.values())
    section.judge(f"{title}: statuses", "only 200 and 503", f"others: {counted(others)}", met=not others)
    retry = {value for sample in found.offered.values() for value in sample.retry_after}
    jittered = retry == {"1", "2", "3"}
    section.judge(f"{title}: Retry-After", "jittered, 1–3 s", ", ".join(sorted(retry)) or "none came", met=jittered)
    growth = found.memory[1] / found.memory[0] - 1
    seen = f"{growth:+.1%}, {mib(found.memory[0])} to {mib(found.memory[1])}"
    section.judge(f"{title}: memory", "growth < 20 %", seen, met=growth < 0.2)
    seen = f"{found.recovery:.2f} s" if math.isfinite(found.recovery) else "never"
    section.judge(f"{title}: normal p99 again after the load", "< 2 s", seen, met=found.recovery < 2)
    fallen = found.collapsed.goodput / found.best if found.best else 0.0
    section.judge(f"{title}: without the limiter", "shown: about a tenth", f"{fallen:.1%} of the best", met=None)
    late = max(sample.late for sample in found.offered.values())
    section.judge(f"{title}: the generator", f"late < {ms(LATE)} at p99", ms(late), met=late < LATE)
