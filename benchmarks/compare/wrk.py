"""wrk, the load generator, and its report."""

import re
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

_UNIT_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Sample(NamedTuple):
    """One run: number and rate (per second) of responses, latencies in seconds, and number of failures."""

    responses: int
    rate: float
    p50: float
    p99: float
    failures: int
    cpu: float = float("nan")
    """CPU time of the server per response in seconds, which varies less than the rate."""


def run_wrk(
    url: str, *, core: int, connections: int, seconds: float, script: Path | None = None, status: int = 200
) -> Sample:
    """Run wrk with one thread and keep-alive connections.

    Args:
        url: URL of the requests.
        core: CPU core of wrk.
        connections: Number of connections.
        seconds: Duration, rounded to whole seconds.
        script: Lua script of wrk; None runs none.
        status: Expected status; others are failures.

    Raises:
        RuntimeError: wrk failed.
    """
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    options += ["-s", str(script)] if script else []
    command = ["taskset", "-c", str(core), "wrk", *options, url]
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    if result.returncode:
        raise RuntimeError(f"wrk failed on {url}: {result.stderr or result.stdout}")
    return parse_report(result.stdout, status)


def parse_report(text: str, status: int = 200) -> Sample:
    """Parse the report of wrk. Raises RuntimeError if it has no rate.

    wrk counts only whether a status is 2xx or 3xx. If `status` is another one, responses with 2xx and 3xx are failures.
    """
    rate, responses = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"(\d+) requests in ", text)
    if rate is None or responses is None:
        raise RuntimeError(f"no rate in the report of wrk:\n{text}")
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    error_statuses = int(other[1]) if other else 0
    failures = sum(map(int, socket_errors.groups())) if socket_errors else 0
    failures += int(responses[1]) - error_statuses if status >= 400 else error_statuses
    return Sample(int(responses[1]), float(rate[1]), _latency(text, 50), _latency(text, 99), failures)


def median(samples: Sequence[Sample]) -> Sample:
    """Return the median of each value; responses and failures are summed."""
    responses, rates, p50s, p99s, failures, cpus = zip(*samples, strict=True)
    median = statistics.median
    return Sample(sum(responses), median(rates), median(p50s), median(p99s), sum(failures), median(cpus))


def _latency(text: str, percentile: int) -> float:
    match = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    return float(match[1]) * _UNIT_SECONDS[match[2]] if match else float("nan")
