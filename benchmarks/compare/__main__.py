"""`make bench`: measure, and print the figures as Markdown."""

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from . import half, idle, measure, observing, overload, refusals, report
from .servers import ASKD, ASKD_ONE_PORT, BARE, CODE, FASTAPI, RAW, TRACED, Server, given, podinfo

ALL_CORES: Final = ",".join(map(str, sorted(os.sched_getaffinity(0))))
KNOWN: Final = {"bare": BARE, "fastapi": FASTAPI, "raw": RAW}
"""What `--against` can name."""
MILLION: Final = Path(__file__).with_name("book_million.py")
MILLION_LIMIT: Final = 180.0
"""Seconds that the book of a million entries may take."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns in which each server is loaded (5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one turn in seconds (5)")
    parser.add_argument("--connections", type=int, default=32, help="keep-alive connections (32)")
    parser.add_argument("--starts", type=int, default=7, help="starts of each server (7)")
    parser.add_argument("--server-core", type=int, default=0, help="core that the servers run on (0)")
    parser.add_argument("--load-core", type=int, default=1, help="core that the load runs on (1)")
    parser.add_argument(
        "--only", action="append", choices=["throughput", *PARTS], help="only this part; may be repeated"
    )
    parser.add_argument("--against", action="append", choices=KNOWN, help="only this peer; likewise")
    parser.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND=URL", type=given,
                        help="one more server; {port} in both becomes a free port; may be repeated")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    return parser.parse_args()


def peers(wanted: argparse.Namespace) -> list[Server]:
    """Return askd, then what it is measured against."""
    found = [ASKD, *(KNOWN[name] for name in wanted.against or KNOWN), *wanted.server]
    binary = os.environ.get("BENCH_PODINFO")
    if not binary:
        say("skipped: podinfo, BENCH_PODINFO names no binary")
    return [*found, podinfo(binary)] if binary else found


def sections(wanted: argparse.Namespace, plan: measure.Plan) -> Iterator[tuple[str, Any, list[str]]]:
    """Measure one part after the other: its name, its figures, and its lines."""
    if not wanted.only or "throughput" in wanted.only:
        samples = measure.throughput(peers(wanted), plan)
        yield "throughput", samples, report.throughput(samples)
    for name, (run, lines) in PARTS.items():
        if not wanted.only or name in wanted.only:
            found = run(plan)
            yield name, found, lines(found)


def million(plan: measure.Plan) -> str:
    """Return what the script for the book of a million entries prints; it pins the parts that are about one core."""
    command = ["taskset", "-c", ALL_CORES, sys.executable, str(MILLION)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MILLION_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"Not done after {MILLION_LIMIT:.0f} s."
    return done.stdout.strip() if done.returncode == 0 else f"Failed: {done.stderr.strip()[-1000:]}"


PARTS: Final[Mapping[str, tuple[Callable[[measure.Plan], Any], Callable[[Any], list[str]]]]] = {
    "half": (half.run, half.lines),
    "code": (functools.partial(measure.throughput, CODE), report.code),
    "refusals": (refusals.run, refusals.lines),
    "overload": (overload.run, overload.lines),
    "idle": (idle.run, idle.lines),
    "observing": (observing.run, observing.lines),
    "tracing": (functools.partial(measure.throughput, TRACED), report.tracing),
    "start": (functools.partial(measure.starts, [ASKD_ONE_PORT, BARE]), report.starts),
    "scrape": (functools.partial(measure.scrapes, ASKD), report.scrapes),
    "million": (million, report.million),
}
"""What follows throughput: how each part is measured, and how it is shown."""


def say(*lines: str) -> None:
    """Print at once, so that a long run shows how far it is."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Measure what was asked for; returns 1 if a server could not be measured."""
    wanted = arguments()
    os.sched_setaffinity(0, {wanted.load_core})
    figures: dict[str, Any] = {"versions": report.versions()}
    say("# askd, measured", "", *(f"- {name} {version}" for name, version in figures["versions"].items()))
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory() as folder:
        plan = measure.Plan(
            rounds=wanted.rounds, seconds=wanted.seconds, connections=wanted.connections, starts=wanted.starts,
            server_core=wanted.server_core, load_core=wanted.load_core, folder=Path(folder),
        )  # fmt: skip
        try:
            for name, found, lines in sections(wanted, plan):
                figures[name] = found
                say("", *lines)
        except RuntimeError as fault:
            say("", str(fault))
            return 1
    if wanted.json:
        wanted.json.write_text(
            json.dumps(report.as_json(figures), indent=2, default=msgspec.to_builtins) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
