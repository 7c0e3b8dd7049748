"""The load generator in a separate process on a separate core, so that it does not slow the server down."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.load.phases import Phase
from benchmarks.load.run_options import RunOptions
from benchmarks.load.step_result import StepResult

ROOT: Final = Path(__file__).parents[2]
EXTRA_TIMEOUT: Final = 60.0
"""Seconds in addition to the steps after which the generator is considered hung."""
MAX_GENERATOR_LAG: Final = 0.02
"""Maximum p99 lag of the generator in seconds; above it, the results depend on the generator more than on askd."""


async def run_phase(plan: RunOptions, phase: Phase) -> list[StepResult]:
    """Run one phase. Returns a sample for each step. Raises RuntimeError if the generator fails."""
    process = await asyncio.create_subprocess_exec(
        *plan.pin_command(plan.load_core),
        *(sys.executable, "-m", "benchmarks.load.generator_worker"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(sum(step.seconds for step in phase.steps) + phase.timeout + EXTRA_TIMEOUT):
            output, errors = await process.communicate(msgspec.json.encode(phase))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the generator failed: {errors.decode(errors='replace').strip()[-500:]}")
    return msgspec.json.decode(output, type=list[StepResult])


def generator_note(samples: list[StepResult], limit: float = MAX_GENERATOR_LAG) -> str:
    """Describe whether the generator sent its requests on time: late by at most `limit` seconds at p99."""
    lag, cpu_share = (
        max(sample.generator_lag for sample in samples),
        max(sample.generator_cpu_share for sample in samples),
    )
    verdict = "kept up" if lag <= limit else "COULD NOT KEEP UP, so these results say little about askd"
    return f"the generator {verdict}: late by {lag * 1e3:.1f} ms at p99, {cpu_share:.0%} of its core"
