"""The process of the load generator: reads a phase as JSON from stdin and writes a sample for each step."""

import gc
import sys
import time

import msgspec
import uvloop

from benchmarks.load.generator import ConnectionPool
from benchmarks.load.phases import Phase
from benchmarks.load.step_result import StepResult


async def run_phase(phase: Phase) -> list[StepResult]:
    """Run one phase."""
    pool, started_at, cpu_time = ConnectionPool(phase), time.perf_counter(), time.process_time()
    recorders = await pool.run()
    cpu_share = (time.process_time() - cpu_time) / (time.perf_counter() - started_at)
    return [recorder.summarise(window=phase.window, cpu_share=cpu_share) for recorder in recorders]


def main() -> None:
    """Read the phase, run it, and write the samples."""
    gc.disable()  # a phase is short, and pauses of the generator would count as latency of the server
    phase = msgspec.json.decode(sys.stdin.buffer.read(), type=Phase)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run_phase(phase))))


if __name__ == "__main__":
    main()
