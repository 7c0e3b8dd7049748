"""The load: wrk on a core of its own, and what it says of a server."""

import re
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

_UNIT: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Sample(NamedTuple):
    """One run of the load: answers and answers a second, latencies in seconds, and how many answers were none."""

    answers: int
    rate: float
    p50: float
    p99: float
    failures: int
    cpu: float = float("nan")
    """Seconds of the server's processor time for one answer: what disturbs the rate hardly disturbs this."""


def wrk(
    url: str, *, core: int, connections: int, seconds: float, script: Path | None = None, status: int = 200
) -> Sample:
    """Ask `url` over keep-alive connections, one thread, for so long. Raises RuntimeError if wrk fails.

    `script` is one of wrk's own, in Lua; None: none is needed. `status` is what the server should give.
    """
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    options += ["-s", str(script)] if script else []
    command = ["taskset", "-c", str(core), "wrk", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    if done.returncode:
        raise RuntimeError(f"wrk failed on {url}: {done.stderr or done.stdout}")
    return parse(done.stdout, status)


def parse(text: str, status: int = 200) -> Sample:
    """Read wrk's report. Raises RuntimeError when it has no rate.

    wrk tells apart only 2xx and 3xx from the rest: where `status` is of the rest, those that are not are the failures.
    """
    rate, answers = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"(\d+) requests in ", text)
    if rate is None or answers is None:
        raise RuntimeError(f"no rate in wrk's report:\n{text}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    refused = int(other[1]) if other else 0
    failures = sum(map(int, errors.groups())) if errors else 0
    failures += int(answers[1]) - refused if status >= 400 else refused
    return Sample(int(answers[1]), float(rate[1]), _latency(text, 50), _latency(text, 99), failures)


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each figure on its own; the answers and the failures are summed."""
    answers, rates, p50s, p99s, failures, cpus = zip(*samples, strict=True)
    middle = statistics.median
    return Sample(sum(answers), middle(rates), middle(p50s), middle(p99s), sum(failures), middle(cpus))


def _latency(text: str, percentile: int) -> float:
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    return float(found[1]) * _UNIT[found[2]] if found else float("nan")
