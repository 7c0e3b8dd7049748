"""The process that makes the load: reads a phase as JSON from its input, writes a sample for each step."""

import gc
import sys
import time

import msgspec
import uvloop

from .generator import Pool
from .numbers import Sample
from .phase import Phase


async def shoot(phase: Phase) -> list[Sample]:
    """Make the load of one phase."""
    pool, began, used = Pool(phase), time.perf_counter(), time.process_time()
    tallies = await pool.run()
    busy = (time.process_time() - used) / (time.perf_counter() - began)
    return [tally.sample(window=phase.window, busy=busy) for tally in tallies]


def main() -> None:
    """Be the process."""
    gc.disable()  # a phase is short, and a pause of the generator would be counted against the server
    phase = msgspec.json.decode(sys.stdin.buffer.read(), type=Phase)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(shoot(phase))))


if __name__ == "__main__":
    main()
