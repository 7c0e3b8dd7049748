"""Load from a process of its own, on a core of its own: what it costs is not the server's."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import msgspec

from .numbers import Sample
from .phase import Phase
from .plan import Plan

ROOT: Final = Path(__file__).parents[2]
SPARE: Final = 60.0
"""Seconds beyond its steps after which a load is taken to hang."""
LATE: Final = 0.02
"""Seconds by which a generator may be late at the 99th percentile before its figures say more of it than of askd."""


async def shoot(plan: Plan, phase: Phase) -> list[Sample]:
    """Make one phase's load; returns a sample for each step. Raises RuntimeError if the generator fails."""
    process = await asyncio.create_subprocess_exec(
        *plan.on(plan.load_core),
        *(sys.executable, "-m", "tests.figures.worker"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(sum(step.seconds for step in phase.steps) + phase.patience + SPARE):
            out, err = await process.communicate(msgspec.json.encode(phase))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the generator failed: {err.decode(errors='replace').strip()[-500:]}")
    return msgspec.json.decode(out, type=list[Sample])


def generator_note(samples: list[Sample], limit: float = LATE) -> str:
    """Say whether the generator kept up with what it was to offer: late by at most `limit` seconds."""
    late, busy = max(sample.late for sample in samples), max(sample.busy for sample in samples)
    verdict = "kept up" if late <= limit else "COULD NOT KEEP UP, so that these figures say little of askd"
    return f"the generator {verdict}: late by {late * 1e3:.1f} ms at p99, {busy:.0%} of its core"
