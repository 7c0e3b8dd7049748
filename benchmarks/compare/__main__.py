"""`make bench`: measure askd and other servers, and print the results as Markdown."""

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

from benchmarks.compare import (
    askd_under_overload,
    half_load_latency,
    idle_connections,
    measure,
    metrics_and_log_cost,
    report,
    responses_without_code,
)
from benchmarks.compare.optional_peers import installed_peers
from benchmarks.compare.servers import (
    ASKD,
    ASKD_ONE_PORT,
    BARE,
    FASTAPI,
    FUNCTION_SERVERS,
    RAW,
    TRACED_SERVERS,
    Server,
    parse_server,
    podinfo_server,
)

ALL_CORES: Final = ",".join(map(str, sorted(os.sched_getaffinity(0))))
PEER_SERVERS: Final = {"bare": BARE, "fastapi": FASTAPI, "raw": RAW}
"""Choices of `--against`."""
MILLION_SCRIPT: Final = Path(__file__).with_name("million_entry_book.py")
MILLION_TIMEOUT: Final = 180.0
"""Maximum seconds for the book of a million entries."""


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, help="number of rounds; each server is measured once in a round (%(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of one measurement (%(default)g)")
    parser.add_argument("--connections", type=int, default=32, help="number of keep-alive connections (%(default)s)")
    parser.add_argument("--starts", type=int, default=7, help="number of starts of each server (%(default)s)")
    parser.add_argument("--server-core", type=int, default=0, help="CPU core of the servers (%(default)s)")
    parser.add_argument("--load-core", type=int, default=1, help="CPU core of the load generator (%(default)s)")
    parser.add_argument(
        "--only", action="append", choices=["throughput", *PARTS], help="run only this part; may be repeated"
    )
    parser.add_argument(
        "--against", action="append", choices=PEER_SERVERS, help="compare with this server only; may be repeated"
    )
    parser.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND=URL", type=parse_server,
                        help="an additional server; {port} is replaced by a free port; may be repeated")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to this file")
    return parser.parse_args()


def selected_servers(options: argparse.Namespace, folder: Path) -> list[Server]:
    """Return askd and the servers to compare it with. `folder` is for temporary files."""
    servers = [ASKD, *(PEER_SERVERS[name] for name in options.against or PEER_SERVERS), *options.server]
    if not options.against:
        optional, missing = installed_peers(folder)
        servers += optional
        if missing:
            say(f"skipped: {', '.join(missing)}, not installed")
    binary = os.environ.get("BENCH_PODINFO")
    if not binary:
        say("skipped: podinfo, set BENCH_PODINFO to its binary")
    return [*servers, podinfo_server(binary)] if binary else servers


def run_parts(options: argparse.Namespace, plan: measure.Plan) -> Iterator[tuple[str, Any, list[str]]]:
    """Measure one part after the other. Yields its name, its results, and the lines of its report."""
    if not options.only or "throughput" in options.only:
        samples = measure.measure_throughput(selected_servers(options, plan.folder), plan)
        yield "throughput", samples, report.throughput(samples)
    for name, (run, lines) in PARTS.items():
        if not options.only or name in options.only:
            part_results = run(plan)
            yield name, part_results, lines(part_results)


def run_million_entry_book(plan: measure.Plan) -> str:
    """Run the script for the book of a million entries on all cores, and return its output."""
    command = ["taskset", "-c", ALL_CORES, sys.executable, str(MILLION_SCRIPT)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=MILLION_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return f"Not finished after {MILLION_TIMEOUT:.0f} s."
    return result.stdout.strip() if result.returncode == 0 else f"Failed: {result.stderr.strip()[-1000:]}"


PARTS: Final[Mapping[str, tuple[Callable[[measure.Plan], Any], Callable[[Any], list[str]]]]] = {
    "half": (half_load_latency.run, half_load_latency.lines),
    "code": (functools.partial(measure.measure_throughput, FUNCTION_SERVERS), report.functions),
    "refusals": (responses_without_code.run, responses_without_code.lines),
    "overload": (askd_under_overload.run, askd_under_overload.lines),
    "idle": (idle_connections.run, idle_connections.lines),
    "observing": (metrics_and_log_cost.run, metrics_and_log_cost.lines),
    "tracing": (functools.partial(measure.measure_throughput, TRACED_SERVERS), report.tracing),
    "start": (functools.partial(measure.measure_startup, [ASKD_ONE_PORT, BARE]), report.startup),
    "scrape": (functools.partial(measure.measure_scrapes, ASKD), report.scrapes),
    "million": (run_million_entry_book, report.million),
}
"""The parts after throughput: functions that measure them and that format their results."""


def say(*lines: str) -> None:
    """Print lines immediately, as progress of a long run."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Measure the selected parts. Returns 1 if a server could not be measured."""
    options = parse_arguments()
    os.sched_setaffinity(0, {options.load_core})
    results: dict[str, Any] = {"versions": report.versions()}
    say(
        "# askd compared with other servers",
        "",
        *(f"- {name} {version}" for name, version in results["versions"].items()),
    )
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory() as folder:
        plan = measure.Plan(
            rounds=options.rounds, seconds=options.seconds, connections=options.connections, starts=options.starts,
            server_core=options.server_core, load_core=options.load_core, folder=Path(folder),
        )  # fmt: skip
        try:
            for name, part_results, lines in run_parts(options, plan):
                results[name] = part_results
                say("", *lines)
        except RuntimeError as error:
            say("", str(error))
            return 1
    if options.json:
        options.json.write_text(
            json.dumps(report.as_json(results), indent=2, default=msgspec.to_builtins) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
