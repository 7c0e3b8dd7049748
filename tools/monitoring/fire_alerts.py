"""Fires the alerts for real: the real Prometheus, a real askd, a real fault; windows and waits shorter by a factor.

`make fire`, or `python -m tests.rules.fire [--scale 60] [words of the faults…]`.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.figures.plan import Plan
from tests.rules import prometheus
from tests.rules.faults import FAULTS, Fault, killed
from tests.rules.files import rules
from tests.rules.parameters import Parameters
from tests.rules.prometheus import Prometheus, pause

LIMIT: Final = 120.0
"""Seconds after which an alert is taken never to fire."""
LOOK: Final = 0.2


async def fired(fault: Fault, server: Prometheus, folder: Path) -> dict[str, tuple[float, str]]:
    """Make the fault; return after how many seconds each of its alerts fired, and what it said."""
    job = fault.what
    seen: dict[str, tuple[float, str]] = {}
    async with fault.scene(Plan(folder=folder)) as askd:
        server.targets({job: askd.ops_port})
        if fault.scene is killed:
            await _scraped(server, job)
            await askd.kill()
        before = job if fault.scene is killed else ""  # until the first scrape everything is down
        began = time.monotonic()
        while not set(fault.raises) <= seen.keys() and time.monotonic() < began + LIMIT:
            for alert in await server.alerts():
                labels = alert["labels"]
                name = " ".join(filter(None, (labels["alertname"], labels.get("burn"))))
                if labels.get("job", before) == job:
                    seen.setdefault(name, (time.monotonic() - began, alert["annotations"]["summary"]))
            await pause(LOOK)
    server.targets({})
    return seen


async def _scraped(server: Prometheus, job: str) -> None:
    """Wait until a server has been seen, and what was down before has come up."""
    async with asyncio.timeout(LIMIT):
        while not await server.query(f'askd_ready{{job="{job}"}} == 1') or await _down(server):
            await pause(LOOK)


async def _down(server: Prometheus) -> bool:
    return any(alert["labels"]["alertname"] == "AskdDown" for alert in await server.alerts())


async def main() -> int:
    """Make each fault, print what fired; 1 where an alert did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.rules.fire", description=__doc__)
    parser.add_argument("--scale", type=float, default=60, help="by how much windows and waits are shorter (60)")
    parser.add_argument("words", nargs="*", help="faults with one of these words; none: all")
    given = parser.parse_args()
    chosen = [fault for fault in FAULTS if not given.words or any(word in fault.what for word in given.words)]
    missing = 0
    with tempfile.TemporaryDirectory() as place:
        for number, fault in enumerate(chosen):
            folder = Path(place) / str(number)
            (folder / "prometheus").mkdir(parents=True)
            async with prometheus.running(folder / "prometheus", rules(Parameters(scale=given.scale))) as server:
                missing += _told(fault, await fired(fault, server, folder), given.scale)
    return 1 if missing else 0


def _told(fault: Fault, seen: dict[str, tuple[float, str]], scale: float) -> int:
    """Print what fired; return how many alerts did not that should have."""
    sys.stdout.write(f"{fault.what}\n")
    for name in sorted({*fault.raises, *seen}, key=lambda name: seen.get(name, (LIMIT, ""))[0]):
        seconds, summary = seen.get(name, (LIMIT, ""))
        mark = " " if name in fault.raises else "+"
        told = f"{seconds:5.1f} s, unscaled {seconds * scale / 60:4.0f} min  {summary}" if summary else "DID NOT FIRE"
        sys.stdout.write(f"  {mark} {name:<28} {told}\n")
    sys.stdout.flush()
    return len(set(fault.raises) - seen.keys())


if __name__ == "__main__":
    if prometheus.PROGRAM is None:
        sys.stdout.write("skipped: make fire, prometheus is not installed (Debian: apt-get install prometheus)\n")
        sys.exit(0)
    sys.exit(prometheus.until_told(main()))
