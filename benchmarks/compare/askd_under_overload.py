"""Goodput under overload: up to 30 times the capacity, with 4 ms of CPU time per request on the event loop."""

import asyncio
import statistics
from collections.abc import Mapping
from typing import Final, NamedTuple

from benchmarks.compare import measure, report
from benchmarks.load import run_options, saturation
from benchmarks.load.generator_process import generator_note
from benchmarks.load.phases import Phase, Step
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import StepResult, format_outcomes, sum_outcomes

GOODPUT_AIMS: Final[Mapping[float, float | None]] = {1.0: None, 10.0: 0.95, 30.0: 0.85}
"""Minimum share of the best goodput by offered load, a multiple of the capacity. None is not judged."""
WORKLOAD: Final = "never"
"""The workload that never awaits."""
FULL_ROUND_SECONDS: Final = 5.0
"""Seconds of a measurement below which warm-ups are shortened as well."""
WARMUP_SECONDS: Final = 30.0
"""Seconds of the largest load before the measurement, until limits and caches have settled."""
SETTLE_SECONDS: Final = 2.0
"""Seconds of each load before its measurement."""


class OverloadResult(NamedTuple):
    """Capacity in responses per second of a closed loop, and the samples of each offered multiple of it."""

    capacity: float
    offered: dict[float, list[StepResult]]


def run(plan: measure.Plan) -> OverloadResult:
    """Offer the loads alternately, so that a disturbance of the machine affects all of them."""
    return asyncio.run(_run(plan))


def lines(result: OverloadResult) -> list[str]:
    """Return the table of goodput, as the median share of the best load in the same round."""
    best = [max(sample.goodput for sample in samples) for samples in zip(*result.offered.values(), strict=True)]
    rows = []
    for factor, samples in result.offered.items():
        shares = [sample.goodput / maximum for sample, maximum in zip(samples, best, strict=True)]
        share, minimum = statistics.median(shares), GOODPUT_AIMS[factor]
        aim = report.verdict(f"≥ {minimum:g}", met=share >= minimum) if minimum else ""
        goodput = f"{statistics.median(sample.goodput for sample in samples):,.1f}"
        p99 = f"{max(sample.p99 for sample in samples) * 1e3:.1f}"
        outcomes = format_outcomes(sum_outcomes(sample.outcomes for sample in samples))
        spread = f"{min(shares):.3f}–{max(shares):.3f}"
        rate = f"{factor * result.capacity:,.0f}"
        rows.append([f"{factor:g}×", rate, goodput, f"{share:.3f}", spread, aim, p99, outcomes])
    head = ("load", "requests/s", "goodput/s", "÷ best", "lowest–highest", "aim", "p99 ms", "outcomes")
    offered = [sample for samples in result.offered.values() for sample in samples]
    note = f"{saturation.CPU_WORKLOADS[WORKLOAD].capitalize()}; {generator_note(offered)}."
    return ["## Overload: 4 ms of CPU time per request", "", *report.table(head, rows), "", note]


async def _run(plan: measure.Plan) -> OverloadResult:
    scenario_context = ScenarioContext(
        run_options.RunOptions(
            folder=plan.folder,
            quick=plan.seconds < FULL_ROUND_SECONDS,
            server_core=plan.server_core,
            load_core=plan.load_core,
        )
    )
    async with scenario_context.serve_workload(
        WORKLOAD, BENCH_LOOPS=str(run_options.calibrate_loops(saturation.CPU_SECONDS))
    ) as askd:
        capacity = await saturation.measure_capacity(scenario_context, askd.port)
        steps = [
            step
            for factor in GOODPUT_AIMS
            for step in (
                Step(seconds=scenario_context.plan.seconds(SETTLE_SECONDS, 0.5), rate=factor * capacity),
                Step(seconds=plan.seconds, rate=factor * capacity),
            )
        ]
        warm_up = Step(seconds=scenario_context.plan.seconds(WARMUP_SECONDS, 1), rate=max(GOODPUT_AIMS) * capacity)
        phase = Phase(port=askd.port, connections=saturation.CONNECTIONS, steps=[warm_up, *steps * plan.rounds])
        samples = (await scenario_context.run_phase(phase))[2::2]
    return OverloadResult(
        capacity, {factor: samples[number :: len(GOODPUT_AIMS)] for number, factor in enumerate(GOODPUT_AIMS)}
    )
