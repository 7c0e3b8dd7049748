"""Up to ten times the capacity, with 4 ms of CPU time per request: three functions, with and without limits."""

import dataclasses
import math
from typing import Final

from benchmarks.load.generator_process import MAX_GENERATOR_LAG, generator_note
from benchmarks.load.phases import Phase, Step
from benchmarks.load.report import Section, format_mib, format_ms
from benchmarks.load.run_options import calibrate_loops
from benchmarks.load.saturation import CONNECTIONS, CPU_SECONDS, CPU_WORKLOADS, measure_capacity, offer_load
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import CLIENT_TIMEOUT, StepResult, format_outcomes, recovery_seconds, sum_outcomes

FACTORS: Final = (0.5, 1.0, 2.5, 10.0)
QUEUE_TARGET_DELAY: Final = 0.1
"""The default of ASKD_QUEUE_TARGET_DELAY, in seconds."""
UNLIMITED: Final = {"ASKD_CONCURRENCY": "100000", "ASKD_QUEUE_SIZE": "100000", "ASKD_QUEUE_TARGET_DELAY": "60s"}


@dataclasses.dataclass(kw_only=True)
class OverloadResult:
    """Results of one function. `memory` is the resident memory in bytes before the overload and at its end."""

    unloaded: StepResult
    capacity: float
    offered: dict[float, StepResult]
    memory: tuple[int, int]
    recovery: float
    without_limits: StepResult

    @property
    def best(self) -> float:
        """The best goodput of all offered loads."""
        return max(sample.goodput for sample in self.offered.values())


async def measure(run: ScenarioContext) -> Section:
    """Measure the three functions, one after the other."""
    loops = str(calibrate_loops(CPU_SECONDS))
    head = ("function", "load", "requests/s", "goodput/s", "of best", "p50", "p99", "outcomes", "Retry-After")
    section = Section(title="Overload: 4 ms of CPU time per request", head=head)
    for function, title in CPU_WORKLOADS.items():
        result = await _measure_workload(run, function, loops)
        _add_rows(section, title, result)
        _judge(section, title, result)
    return section


async def _measure_workload(run: ScenarioContext, function: str, loops: str) -> OverloadResult:
    async with run.serve_workload(function, BENCH_LOOPS=loops) as askd:
        unloaded = await run.closed_loop(askd.port, connections=1, seconds=run.plan.seconds(4, 1), timeout=5)
        capacity = await measure_capacity(run, askd.port)
        offered: dict[float, StepResult] = {}
        before, recovery = 0, math.inf
        for factor in FACTORS:
            if factor <= 1:
                before = askd.resident_bytes()
            normal_load = Step(seconds=run.plan.seconds(6, 4), rate=FACTORS[0] * capacity)
            samples = await offer_load(
                run, askd.port, factor * capacity, *([normal_load] if factor == FACTORS[-1] else [])
            )
            offered[factor] = samples[1]
        recovery = recovery_seconds(samples[2].windows, 2 * max(offered[FACTORS[0]].p99, unloaded.p99))
        memory = (before, askd.resident_bytes())
    async with run.serve_workload(function, BENCH_LOOPS=loops, **UNLIMITED) as askd:
        steps = [
            Step(seconds=seconds, rate=FACTORS[-1] * capacity)
            for seconds in (run.plan.seconds(5, 2), run.plan.seconds(10, 3))
        ]
        without_limits = (await run.run_phase(Phase(port=askd.port, connections=CONNECTIONS, steps=steps)))[1]
    return OverloadResult(unloaded=unloaded, capacity=capacity, offered=offered, memory=memory, recovery=recovery,
                 without_limits=without_limits)  # fmt: skip


def _add_rows(section: Section, title: str, result: OverloadResult) -> None:
    rows = [(f"{factor:g}×", result.capacity * factor, sample) for factor, sample in result.offered.items()]
    for name, rate, sample in (*rows, ("10×, no limits", result.capacity * FACTORS[-1], result.without_limits)):
        share = sample.goodput / result.best if result.best else 0.0
        retry = ", ".join(f"{count} × {value}s" for value, count in sorted(sample.retry_after.items()))
        section.rows.append(
            (
                title,
                name,
                f"{rate:,.0f}",
                f"{sample.goodput:,.1f}",
                f"{share:.0%}",
                format_ms(sample.p50),
                format_ms(sample.p99),
                format_outcomes(sample.outcomes),
                retry or "—",
            )
        )
    generator = generator_note([*result.offered.values(), result.without_limits])
    section.notes.append(
        f"{title}: capacity {result.capacity:,.1f}/s (closed loop, 4 connections), "
        f"unloaded p99 {format_ms(result.unloaded.p99)}; {generator}"
    )


def _judge(section: Section, title: str, result: OverloadResult) -> None:
    overload = result.offered[FACTORS[-1]]
    share = overload.goodput / result.best if result.best else 0.0
    section.add_verdict(f"{title}: goodput at 10×", "≥ 90 % of its best", f"{share:.1%}", met=share >= 0.9)
    max_p99, p99 = 2 * (result.unloaded.p99 + QUEUE_TARGET_DELAY), max(sample.p99 for sample in result.offered.values())
    measured = f"maximum {format_ms(p99)}"
    section.add_verdict(
        f"{title}: p99 of accepted requests",
        f"≤ {format_ms(max_p99)}: 2× (unloaded + queue target delay)",
        measured,
        met=0 < p99 <= max_p99,
    )
    others = sum_outcomes(sample.outcomes_except(200, 503, CLIENT_TIMEOUT) for sample in result.offered.values())
    section.add_verdict(f"{title}: statuses", "only 200 and 503", f"others: {format_outcomes(others)}", met=not others)
    retry = {value for sample in result.offered.values() for value in sample.retry_after}
    met = retry == {"1", "2", "3"}
    section.add_verdict(f"{title}: Retry-After", "random, 1–3 s", ", ".join(sorted(retry)) or "none", met=met)
    growth = result.memory[1] / result.memory[0] - 1
    measured = f"{growth:+.1%}, {format_mib(result.memory[0])} to {format_mib(result.memory[1])}"
    section.add_verdict(f"{title}: memory", "growth < 20 %", measured, met=growth < 0.2)
    measured = f"{result.recovery:.2f} s" if math.isfinite(result.recovery) else "never"
    section.add_verdict(f"{title}: recovery to a normal p99", "< 2 s", measured, met=result.recovery < 2)
    unlimited_share = result.without_limits.goodput / result.best if result.best else 0.0
    section.add_verdict(f"{title}: without limits", "shown; about 10 %", f"{unlimited_share:.1%} of the best", met=None)
    lag = max(sample.generator_lag for sample in result.offered.values())
    section.add_verdict(
        f"{title}: the generator",
        f"lag < {format_ms(MAX_GENERATOR_LAG)} at p99",
        format_ms(lag),
        met=lag < MAX_GENERATOR_LAG,
    )
