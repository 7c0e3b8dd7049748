"""A new connection for each request, up to ten times the capacity, with 4 ms of CPU time per request."""

from typing import Final

from benchmarks.load.generator_process import MAX_GENERATOR_LAG, generator_note
from benchmarks.load.phases import Phase, Step
from benchmarks.load.report import Section, format_ms
from benchmarks.load.run_options import calibrate_loops
from benchmarks.load.saturation import CPU_SECONDS, CPU_WORKLOADS, measure_capacity
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import StepResult, format_outcomes, sum_outcomes

MIN_GOODPUT: Final = {2.0: 0.90, 4.0: 0.85, 10.0: 0.80}
"""Aim for the goodput as a share of the capacity with keep-alive, by the multiple of the capacity that is offered."""
MAX_P99: Final = 0.5
"""Aim for the 99th percentile of 200s in seconds."""
MAX_P99_SHED: Final = 0.25
"""The same of 503s."""
TIMEOUT: Final = 5.0
"""Seconds after which a client gives up: `curl` and `requests.get` would wait longer."""


async def measure(run: ScenarioContext) -> Section:
    """Measure the three functions, one after the other."""
    loops = str(calibrate_loops(CPU_SECONDS))
    head = ("function", "load", "requests/s", "goodput/s", "of capacity", "p50", "p99", "p99 of 503s", "outcomes")
    section = Section(title="New connections: 4 ms of CPU time per request", head=head)
    for function, title in CPU_WORKLOADS.items():
        async with run.serve_workload(function, BENCH_LOOPS=loops) as askd:
            capacity = await measure_capacity(run, askd.port)
            samples = {factor: await _offer(run, askd.port, factor * capacity) for factor in MIN_GOODPUT}
        _add_results(section, title, capacity, samples)
    return section


async def _offer(run: ScenarioContext, port: int, rate: float) -> StepResult:
    steps = [Step(seconds=run.plan.seconds(seconds, 2), rate=rate) for seconds in (3, 10)]
    return (await run.run_phase(Phase(port=port, connections=0, steps=steps, timeout=TIMEOUT)))[1]


def _add_results(section: Section, title: str, capacity: float, samples: dict[float, StepResult]) -> None:
    for factor, sample in samples.items():
        share = sample.goodput / capacity
        section.rows.append(
            (
                title,
                f"{factor:g}×",
                f"{capacity * factor:,.0f}",
                f"{sample.goodput:,.1f}",
                f"{share:.0%}",
                format_ms(sample.p50),
                format_ms(sample.p99),
                format_ms(max(sample.p99_shed, 0.0)),
                format_outcomes(sample.outcomes),
            )
        )
        aim = MIN_GOODPUT[factor]
        section.add_verdict(f"{title}: goodput at {factor:g}×", f"≥ {aim:.0%}", f"{share:.1%}", met=share >= aim)
    p99 = max(sample.p99 for sample in samples.values())
    section.add_verdict(f"{title}: p99 of 200s", f"< {format_ms(MAX_P99)}", format_ms(p99), met=0 < p99 < MAX_P99)
    shed = max(sample.p99_shed for sample in samples.values())
    section.add_verdict(
        f"{title}: p99 of 503s", f"< {format_ms(MAX_P99_SHED)}", format_ms(shed), met=shed < MAX_P99_SHED
    )
    others = sum_outcomes(sample.outcomes_except(200, 503) for sample in samples.values())
    section.add_verdict(f"{title}: statuses", "only 200 and 503", f"others: {format_outcomes(others)}", met=not others)
    lag = max(sample.generator_lag for sample in samples.values())
    section.add_verdict(
        f"{title}: the generator",
        f"lag < {format_ms(MAX_GENERATOR_LAG)} at p99",
        format_ms(lag),
        met=lag < MAX_GENERATOR_LAG,
    )
    section.notes.append(f"{title}: capacity {capacity:,.1f}/s (keep-alive); {generator_note(list(samples.values()))}")
