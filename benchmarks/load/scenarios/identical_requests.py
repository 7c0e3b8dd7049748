"""Single flight: a thousand clients send the same request at the same time."""

from typing import Final

from benchmarks.load.phases import Phase, Step
from benchmarks.load.report import Section, format_ms
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import format_outcomes

CLIENTS: Final = 1000


async def measure(run: ScenarioContext) -> Section:
    """Send one request from each client, and count the calls in the code and in the metric."""
    calls = run.plan.folder / "calls"
    async with run.serve_workload(
        "counted", BENCH_CALLS_FILE=str(calls), ASKD_MAX_CONNECTIONS=str(2 * CLIENTS)
    ) as askd:
        step = Step(seconds=30, requests=CLIENTS)
        phase = Phase(port=askd.port, connections=CLIENTS, steps=[step], timeout=30)
        sample = (await run.run_phase(phase))[0]
        series = await askd.metrics()
    metric = sum(value for name, value in series.items() if name.startswith("askd_answerer_duration_seconds_count"))
    call_count = calls.stat().st_size if calls.exists() else 0
    section = Section(
        title=f"{CLIENTS:,} identical requests at the same time", head=("outcomes", "calls", "p50", "p99")
    )
    section.rows.append(
        (format_outcomes(sample.outcomes), f"{call_count:,}", format_ms(sample.p50), format_ms(sample.p99))
    )
    section.add_verdict(
        "identical requests: calls", "1", f"{call_count:,}; metric: {metric:,.0f}", met=call_count == metric == 1
    )
    met = sample.answers == CLIENTS
    section.add_verdict(
        "identical requests: responses", f"{CLIENTS:,} × 200", format_outcomes(sample.outcomes), met=met
    )
    return section
