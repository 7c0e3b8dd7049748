"""Context of the scenarios: the plan, servers with probed ops endpoints, and loads."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from benchmarks.load.askd_process import WORKLOADS_FILE, AskdProcess, running_askd
from benchmarks.load.generator_process import run_phase
from benchmarks.load.ops_probe import OpsProbe
from benchmarks.load.phases import Phase, Step
from benchmarks.load.report import Section
from benchmarks.load.run_options import RunOptions
from benchmarks.load.step_result import StepResult


class ScenarioContext:
    """Options and helpers of a scenario."""

    def __init__(self, plan: RunOptions) -> None:
        self.plan = plan
        self.ops_probe = OpsProbe()

    @contextlib.asynccontextmanager
    async def serve_workload(self, function: str, **variables: str) -> AsyncIterator[AskdProcess]:
        """Serve a function of `workloads.py` during the block, and probe its ops endpoints."""
        async with self.serve_spec(f"{WORKLOADS_FILE}:{function}", **variables) as askd:
            yield askd

    @contextlib.asynccontextmanager
    async def serve_spec(self, spec: str, **variables: str) -> AsyncIterator[AskdProcess]:
        """Serve a spec during the block, and probe its ops endpoints."""
        async with (
            running_askd(self.plan, "serve", spec, python_path=None, **variables) as askd,
            self.ops_probe.probing(askd),
        ):
            yield askd

    async def closed_loop(self, port: int, *, connections: int, seconds: float, **options: Any) -> StepResult:
        """Run a closed loop. `options` are further fields of the phase."""
        phase = Phase(port=port, connections=connections, steps=[Step(seconds=seconds)], **options)
        return (await run_phase(self.plan, phase))[0]

    async def open_loop(
        self, port: int, *, rate: float, seconds: float, connections: int, **options: Any
    ) -> StepResult:
        """Run an open loop with `rate` requests per second. `options` are further fields of the phase."""
        step = Step(seconds=seconds, rate=rate)
        return (await run_phase(self.plan, Phase(port=port, connections=connections, steps=[step], **options)))[0]

    async def run_phase(self, phase: Phase) -> list[StepResult]:
        """Run one phase. Returns a sample for each step."""
        return await run_phase(self.plan, phase)


Scenario = Callable[[ScenarioContext], Awaitable[Section]]
"""Raises ScenarioSkipped if it cannot run on this machine."""


class ScenarioSkipped(Exception):
    """A scenario cannot run on this machine; the message contains the missing requirement."""
