"""How long answers take at half of what askd can do, against the bare app at the same rate."""

import asyncio
import functools
import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from tests.figures import plan as figures
from tests.figures.load import generator_note, shoot
from tests.figures.numbers import ANSWERED, Sample
from tests.figures.phase import Phase, Step

from . import measure, report
from .servers import ASKD, BARE, Running

AIM: Final = 1.0
"""p99 of askd as a multiple of the bare app's, at most."""
SHARE: Final = 0.8
"""Share of its maximum up to which the bare app, and the generator, can be asked without a queue that grows."""


class Half(NamedTuple):
    """What came of it: questions offered a second, what that rate is, and the samples of each server."""

    rate: float
    why: str
    samples: dict[str, list[Sample]]


def run(plan: measure.Plan) -> Half:
    """Measure what each can do, then offer both the same, in turns, whatever comes back."""
    with measure.started([ASKD, BARE], plan) as processes:
        loads = {each.server.name: functools.partial(measure.loaded, each, plan) for each in processes}
        askd, bare = (runs[0].rate for runs in measure.turns(loads, plan._replace(rounds=1)).values())
        generator = _offer(processes[0], plan, None, plan.seconds).goodput
        rate, why = offered(askd, bare, generator)
        takes = {each.server.name: functools.partial(_offer, each, plan, rate) for each in processes}
        return Half(rate, why, measure.turns(takes, plan))


def offered(askd: float, bare: float, generator: float) -> tuple[float, str]:
    """Choose a rate that all can keep up with, by what each can do a second; returns it, and what it is."""
    rates = {
        "half of askd's maximum": askd / 2,
        f"{SHARE * 100:.0f} % of the bare app's maximum, as half of askd's is more": SHARE * bare,
        f"{SHARE * 100:.0f} % of what the generator can do, as half of askd's maximum is more": SHARE * generator,
    }
    why = min(rates, key=rates.__getitem__)
    return rates[why], why


def lines(found: Half) -> list[str]:
    """Table of latencies, counted from when a question was due."""
    p99s = {name: _middle(samples, "p99") for name, samples in found.samples.items()}
    rows = []
    for name, samples in found.samples.items():
        ratio = p99s[name] / p99s[BARE.name]
        aim = report.verdict(f"≤ {AIM:.1f}", met=ratio <= AIM) if name == ASKD.name else ""
        times = [f"{value * 1e3:.2f}" for value in (_middle(samples, "p50"), p99s[name])]
        failures = sum(sum(sample.other_than(ANSWERED).values()) for sample in samples)
        rows.append([name, f"{_middle(samples, 'goodput'):,.0f}", *times, f"{ratio:.2f}", aim, str(failures)])
    every = [sample for samples in found.samples.values() for sample in samples]
    head = ("server", "answers/s", "p50 ms", "p99 ms", "÷ bare", "aim", "failures")
    note = f"{found.rate:,.0f} questions a second: {found.why}; {generator_note(every, min(p99s.values()) / 2)}."
    return ["## At half of its maximum", "", *report.table(head, rows), "", note]


def _offer(process: Running, plan: measure.Plan, rate: float | None, seconds: float) -> Sample:
    """Offer a server so many questions a second; None: as many as it and the generator can do."""
    step = Step(seconds=seconds, rate=rate)
    phase = Phase(
        port=process.port, target="/ask?q=hello", connections=plan.connections, steps=[step], patience=5, tick=0
    )
    return asyncio.run(shoot(figures.Plan(folder=plan.folder, load_core=plan.load_core), phase))[0]


def _middle(samples: Sequence[Sample], field: str) -> float:
    return float(statistics.median(getattr(sample, field) for sample in samples))
