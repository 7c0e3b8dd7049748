"""Code that waits 500 ms, with more clients than permits: the adaptive limit must grow to its maximum."""

from typing import Final

from benchmarks.load.generator_process import generator_note
from benchmarks.load.phases import Phase, Step
from benchmarks.load.report import Section, format_ms
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import format_outcomes

CONNECTIONS: Final = 600
MAX_CONCURRENCY: Final = 500
WAIT_SECONDS: Final = 0.5


async def measure(run: ScenarioContext) -> Section:
    """Warm up, then measure."""
    steps = [Step(seconds=run.plan.seconds(30, 10)), Step(seconds=run.plan.seconds(10, 4))]
    async with run.serve_workload("wait") as askd:
        phase = Phase(port=askd.port, connections=CONNECTIONS, steps=steps, timeout=10, pause=0.2)
        samples = await run.run_phase(phase)
    section = Section(title="Code that waits 500 ms", head=("step", "seconds", "responses/s", "p50", "p99", "outcomes"))
    for step, sample in zip(("warm-up", "measured"), samples, strict=True):
        section.rows.append(
            (
                step,
                f"{sample.seconds:.0f}",
                f"{sample.goodput:,.0f}",
                format_ms(sample.p50),
                format_ms(sample.p99),
                format_outcomes(sample.outcomes),
            )
        )
    section.notes += [
        f"{CONNECTIONS} connections in a closed loop; rejected clients retry after 100–300 ms",
        generator_note(samples),
    ]
    aim = 0.95 * MAX_CONCURRENCY / WAIT_SECONDS
    rate, others = samples[1].goodput, samples[1].outcomes_except(200, 503)
    section.add_verdict(
        "I/O-bound code: throughput",
        f"≥ {aim:,.0f}/s: 95 % of {MAX_CONCURRENCY} permits",
        f"{rate:,.0f}/s",
        met=rate >= aim,
    )
    section.add_verdict(
        "I/O-bound code: statuses", "only 200 and 503", f"others: {format_outcomes(others)}", met=not others
    )
    return section
