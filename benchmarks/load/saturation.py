"""Capacity of a server, and loads that exceed it."""

from typing import Final

from benchmarks.load.phases import Phase, Step
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import StepResult

CPU_WORKLOADS: Final = {
    "never": "async that never awaits",
    "often": "async that awaits",
    "sync": "sync, in a thread",
}
"""Functions of `workloads.py` that use CPU time, with their descriptions."""
CPU_SECONDS: Final = 0.004
"""CPU time of a request in seconds."""
CONNECTIONS: Final = 400


async def measure_capacity(run: ScenarioContext, port: int) -> float:
    """Return the goodput per second of a closed loop over 4 connections."""
    warm_up, measured = (Step(seconds=run.plan.seconds(seconds, 1.5)) for seconds in (3, 6))
    phase = Phase(port=port, connections=4, steps=[warm_up, measured], timeout=5)
    return (await run.run_phase(phase))[1].goodput


async def offer_load(run: ScenarioContext, port: int, rate: float, *after: Step) -> list[StepResult]:
    """Offer requests at a rate per second: a warm-up, a measured step, and further steps. Returns their samples."""
    warm_up, measured = (Step(seconds=run.plan.seconds(*seconds), rate=rate) for seconds in ((30, 2), (10, 3)))
    return await run.run_phase(Phase(port=port, connections=CONNECTIONS, steps=[warm_up, measured, *after]))
