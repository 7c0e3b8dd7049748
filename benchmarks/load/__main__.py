"""`make test-process`: put the guards under load, print the figures and the aims; the exit code is 1 for a miss."""

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import report
from .plan import Plan, cores
from .report import Section
from .run import Run, Scenario, Skipped
from .scenarios import SCENARIOS


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make test-process", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"which (all): {', '.join(SCENARIOS)}")
    parser.add_argument("--quick", action="store_true", help="a smoke: short and small")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--baseline", default="", metavar="REV", help="commit that the cost is measured against")
    found = parser.parse_args()
    if unknown := set(found.scenarios) - SCENARIOS.keys():
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}: choose from {', '.join(SCENARIOS)}")
    return found


async def attempt(name: str, scenario: Scenario, run: Run) -> Section:
    """Run one scenario; one that cannot be run is shown, and one that fails is a miss."""
    began = time.monotonic()
    try:
        section = await scenario(run)
    except Skipped as reason:
        section = Section(title=name)
        section.judge(name, "to be run", f"skipped: {reason}", met=None)
    except Exception as fault:
        section = Section(title=name)
        last = str(fault).strip().splitlines() or [""]
        section.judge(name, "to be run", f"failed: {type(fault).__name__}: {last[0]}", met=False)
        section.notes += last[1:]
    section.notes.append(f"took {time.monotonic() - began:.0f} s")
    return section


async def measure(wanted: argparse.Namespace, plan: Plan) -> list[Section]:
    """Run what is wanted, one after the other, and print each as soon as it is over."""
    run, sections = Run(plan), []
    for name in wanted.scenarios or SCENARIOS:
        sections.append(await attempt(name, SCENARIOS[name], run))
        say(*sections[-1].lines(markdown=wanted.markdown))
    if run.watch.times or run.watch.failures:
        sections.append(run.watch.section())
        say(*sections[-1].lines(markdown=wanted.markdown))
    return sections


def say(*lines: str) -> None:
    """Print at once, so that a long run shows how far it is."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


async def main() -> int:
    """Run the suite."""
    wanted = arguments()
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)  # so that every block ends the processes that it started
    server_core, load_core = cores()
    say("# askd's guards under load", "")
    say(report.header(server_core=server_core, load_core=load_core, quick=wanted.quick), "")
    with contextlib.suppress(asyncio.CancelledError), tempfile.TemporaryDirectory(prefix="askd-figures-") as folder:
        plan = Plan(
            folder=Path(folder),
            quick=wanted.quick,
            server_core=server_core,
            load_core=load_core,
            baseline=wanted.baseline,
        )
        sections = await measure(wanted, plan)
        say(*report.summary(sections, markdown=wanted.markdown))
        return int(any(each.met is False for section in sections for each in section.verdicts))
    say("stopped")
    return 130


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
