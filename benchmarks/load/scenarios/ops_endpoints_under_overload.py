"""Ops endpoints under ten times the capacity. The summary also has those of all other scenarios."""

from typing import Final

from benchmarks.load.generator_process import generator_note
from benchmarks.load.ops_probe import OpsProbe
from benchmarks.load.report import Section
from benchmarks.load.run_options import calibrate_loops
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import format_outcomes

RATE: Final = 2500.0
"""Requests per second, of 4 ms CPU time each."""


async def measure(run: ScenarioContext) -> Section:
    """Probe the ops endpoints of one server under overload."""
    ops_probe = OpsProbe()
    async with run.serve_workload("never", BENCH_LOOPS=str(calibrate_loops(0.004))) as askd, ops_probe.probing(askd):
        sample = await run.open_loop(askd.port, rate=RATE, seconds=run.plan.seconds(20, 4), connections=400)
    section = ops_probe.section()
    section.title = "Ops endpoints under overload"
    section.verdicts = [verdict._replace(subject="ops endpoints under overload") for verdict in section.verdicts]
    section.notes += [f"load: {RATE:,.0f}/s offered: {format_outcomes(sample.outcomes)}", generator_note([sample])]
    return section
