"""Fire the alerts with a real Prometheus, a real askd and real faults; windows are shortened by a factor.

`make fire-alerts`, or `python -m tools.monitoring.fire_alerts [--scale 60] [words of fault names…]`.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.load.run_options import RunOptions
from tools.monitoring import prometheus_server
from tools.monitoring.fault_scenarios import FAULT_SCENARIOS, FaultScenario, killed_replica
from tools.monitoring.generated_files import render_rules
from tools.monitoring.parameters import Parameters
from tools.monitoring.prometheus_server import PrometheusServer, pause

ALERT_TIMEOUT: Final = 120.0
"""Seconds after which an alert counts as not fired."""
POLL_INTERVAL: Final = 0.2


async def raise_alerts(fault: FaultScenario, server: PrometheusServer, folder: Path) -> dict[str, tuple[float, str]]:
    """Cause the fault; return the seconds until each alert fired, and its summary."""
    job = fault.name
    fired: dict[str, tuple[float, str]] = {}
    async with fault.run(RunOptions(folder=folder)) as askd:
        server.set_targets({job: askd.ops_port})
        if fault.run is killed_replica:
            await _wait_until_scraped(server, job)
            await askd.kill()
        # Until the first scrape, AskdDown fires without a job.
        default_job = job if fault.run is killed_replica else ""
        started_at = time.monotonic()
        while not set(fault.expected_alerts) <= fired.keys() and time.monotonic() < started_at + ALERT_TIMEOUT:
            for alert in await server.firing_alerts():
                labels = alert["labels"]
                name = " ".join(filter(None, (labels["alertname"], labels.get("burn"))))
                if labels.get("job", default_job) == job:
                    fired.setdefault(name, (time.monotonic() - started_at, alert["annotations"]["summary"]))
            await pause(POLL_INTERVAL)
    server.set_targets({})
    return fired


async def _wait_until_scraped(server: PrometheusServer, job: str) -> None:
    """Wait until the server was scraped and AskdDown no longer fires."""
    async with asyncio.timeout(ALERT_TIMEOUT):
        while not await server.query(f'askd_ready{{job="{job}"}} == 1') or await _is_down_alert_firing(server):
            await pause(POLL_INTERVAL)


async def _is_down_alert_firing(server: PrometheusServer) -> bool:
    return any(alert["labels"]["alertname"] == "AskdDown" for alert in await server.firing_alerts())


async def main() -> int:
    """Cause each fault and print the alerts; return 1 if an expected alert did not fire."""
    parser = argparse.ArgumentParser(prog="python -m tools.monitoring.fire_alerts", description=__doc__)
    parser.add_argument("--scale", type=float, default=60, help="factor by which windows are shortened (default: 60)")
    parser.add_argument("words", nargs="*", help="only faults whose name contains one of these words (default: all)")
    options = parser.parse_args()
    scenarios = [
        fault for fault in FAULT_SCENARIOS if not options.words or any(word in fault.name for word in options.words)
    ]
    missing = 0
    with tempfile.TemporaryDirectory() as temporary_folder:
        for number, fault in enumerate(scenarios):
            folder = Path(temporary_folder) / str(number)
            (folder / "prometheus").mkdir(parents=True)
            async with prometheus_server.running_prometheus(
                folder / "prometheus", render_rules(Parameters(scale=options.scale))
            ) as server:
                missing += _report(fault, await raise_alerts(fault, server, folder), options.scale)
    return 1 if missing else 0


def _report(fault: FaultScenario, fired: dict[str, tuple[float, str]], scale: float) -> int:
    """Print the alerts; return the number of expected alerts that did not fire."""
    sys.stdout.write(f"{fault.name}\n")
    for name in sorted({*fault.expected_alerts, *fired}, key=lambda name: fired.get(name, (ALERT_TIMEOUT, ""))[0]):
        seconds, summary = fired.get(name, (ALERT_TIMEOUT, ""))
        mark = " " if name in fault.expected_alerts else "+"
        result = f"{seconds:5.1f} s, unscaled {seconds * scale / 60:4.0f} min  {summary}" if summary else "DID NOT FIRE"
        sys.stdout.write(f"  {mark} {name:<28} {result}\n")
    sys.stdout.flush()
    return len(set(fault.expected_alerts) - fired.keys())


if __name__ == "__main__":
    if prometheus_server.PROMETHEUS_BINARY is None:
        sys.stdout.write(
            "skipped: make fire-alerts: prometheus is not installed (Debian: apt-get install prometheus)\n"
        )
        sys.exit(0)
    sys.exit(prometheus_server.run_until_interrupted(main()))
