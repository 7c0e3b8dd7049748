"""`make bench-load`: run load scenarios and compare the results with their aims. A missed aim is exit code 1."""

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.load import report
from benchmarks.load.report import Section
from benchmarks.load.run_options import RunOptions, choose_cores
from benchmarks.load.scenario_context import Scenario, ScenarioContext, ScenarioSkipped
from benchmarks.load.scenarios import SCENARIOS


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="make bench-load", description=__doc__)
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"scenarios to run (default: all): {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--quick", action="store_true", help="short smoke test")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--baseline", default="", metavar="REV", help="commit that `cost` compares with")
    options = parser.parse_args()
    if unknown := set(options.scenarios) - SCENARIOS.keys():
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}: choose from {', '.join(SCENARIOS)}")
    return options


async def run_scenario(name: str, scenario: Scenario, run: ScenarioContext) -> Section:
    """Run one scenario. A skipped one has no verdict; an exception is a missed aim."""
    started_at = time.monotonic()
    try:
        section = await scenario(run)
    except ScenarioSkipped as error:
        section = Section(title=name)
        section.add_verdict(name, "runs", f"skipped: {error}", met=None)
    except Exception as error:
        section = Section(title=name)
        lines = str(error).strip().splitlines() or [""]
        section.add_verdict(name, "runs", f"failed: {type(error).__name__}: {lines[0]}", met=False)
        section.notes += lines[1:]
    section.notes.append(f"took {time.monotonic() - started_at:.0f} s")
    return section


async def run_scenarios(options: argparse.Namespace, plan: RunOptions) -> list[Section]:
    """Run the selected scenarios one after the other, and print each result immediately."""
    run, sections = ScenarioContext(plan), []
    for name in options.scenarios or SCENARIOS:
        sections.append(await run_scenario(name, SCENARIOS[name], run))
        say(*sections[-1].lines(markdown=options.markdown))
    if run.ops_probe.times or run.ops_probe.failures:
        sections.append(run.ops_probe.section())
        say(*sections[-1].lines(markdown=options.markdown))
    return sections


def say(*lines: str) -> None:
    """Print lines immediately, as progress of a long run."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


async def main() -> int:
    """Run the scenarios."""
    options = parse_arguments()
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)  # cancels, so that all processes are stopped
    server_core, load_core = choose_cores()
    say("# Guards of askd under load", "")
    say(report.header(server_core=server_core, load_core=load_core, quick=options.quick), "")
    with contextlib.suppress(asyncio.CancelledError), tempfile.TemporaryDirectory(prefix="askd-load-") as folder:
        plan = RunOptions(
            folder=Path(folder),
            quick=options.quick,
            server_core=server_core,
            load_core=load_core,
            baseline=options.baseline,
        )
        sections = await run_scenarios(options, plan)
        say(*report.summary(sections, markdown=options.markdown))
        return int(any(verdict.met is False for section in sections for verdict in section.verdicts))
    say("interrupted")
    return 130


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
