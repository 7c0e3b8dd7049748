"""Responses that call no code: a cached answer, a 304 and a 503, compared with the bare app's response."""

import contextlib
import dataclasses
import functools
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.compare import measure, report, wrk
from benchmarks.compare.servers import ASKD, BARE, RunningServer, function_server
from benchmarks.load import raw_http

AIM: Final = 1.5
"""Minimum throughput of each, as a multiple of the bare app's."""
ASKD_CACHED: Final = function_server("askd, cached answer", "deterministic")
ASKD_NOT_MODIFIED: Final = dataclasses.replace(ASKD, name="askd, 304")
ASKD_AT_LIMIT: Final = function_server(
    "askd, 503", "blocking", ASKD_CONCURRENCY="1", ASKD_QUEUE_SIZE="0", ASKD_DEADLINE="3600s"
)
HOLD_TIMEOUT: Final = 5.0
"""Seconds within which the holding request must occupy the only permit."""


def run(plan: measure.Plan) -> dict[str, list[wrk.Sample]]:
    """Measure the three responses and the bare app, alternately."""
    with (
        measure.running_servers([ASKD_CACHED, ASKD_NOT_MODIFIED, ASKD_AT_LIMIT, BARE], plan) as (
            cached,
            not_modified,
            at_limit,
            bare,
        ),
        _occupied_slot(at_limit),
    ):
        cache_status = cached.ask()[1].get("Cache-Status", "")
        if "hit" not in cache_status:
            raise RuntimeError(f"{ASKD_CACHED.name} sent Cache-Status {cache_status!r}, expected a hit")
        measurements = {
            ASKD_CACHED.name: functools.partial(measure.measure_load, cached, plan),
            ASKD_NOT_MODIFIED.name: functools.partial(
                measure.measure_load, not_modified, plan, script=_conditional_get_script(not_modified, plan.folder)
            ),
            ASKD_AT_LIMIT.name: functools.partial(measure.measure_load, at_limit, plan, status=503),
            BARE.name: functools.partial(measure.measure_load, bare, plan),
        }
        return measure.run_alternately(measurements, plan)


def lines(samples: Mapping[str, Sequence[wrk.Sample]]) -> list[str]:
    """Return the table of throughput, compared with the bare app. Statuses other than the expected one are failures."""
    rows, bare = [], wrk.median(samples[BARE.name])
    for name, runs in samples.items():
        median = wrk.median(runs)
        ratio = median.rate / bare.rate
        aim = "" if name == BARE.name else report.verdict(f"≥ {AIM:g}", met=ratio >= AIM)
        costs = (f"{median.cpu * 1e6:.1f}", f"{bare.cpu / median.cpu:.2f}")
        times = (f"{median.p50 * 1e3:.2f}", f"{median.p99 * 1e3:.2f}")
        rows.append([name, f"{median.rate:,.0f}", f"{ratio:.2f}", aim, *costs, *times, str(median.failures)])
    head = ("server", "responses/s", "÷ bare", "aim", "CPU µs per request", "by CPU", "p50 ms", "p99 ms", "failures")
    return ["## Without calling the code", "", *report.table(head, rows)]


def _conditional_get_script(process: RunningServer, folder: Path) -> Path:
    """Write a script for wrk that sends the ETag in `If-None-Match`. Raises RuntimeError if it gets no 304."""
    etag = process.ask()[1]["ETag"]
    status, *_ = process.ask({"If-None-Match": etag})
    if status != 304:
        raise RuntimeError(f"{ASKD_NOT_MODIFIED.name} responded with {status} to its ETag {etag}, expected 304")
    script = folder / "not_modified.lua"
    script.write_text(f"wrk.headers['If-None-Match'] = [[{etag}]]\n", encoding="utf-8")
    return script


@contextlib.contextmanager
def _occupied_slot(process: RunningServer) -> Iterator[None]:
    """Occupy the only permit during the block. Raises RuntimeError if other requests are still served."""
    with socket.create_connection(("127.0.0.1", process.port)) as holder:
        holder.sendall(raw_http.get_request("/ask?q=hold"))
        end = time.monotonic() + HOLD_TIMEOUT
        while (status := process.ask()[0]) != 503:
            if time.monotonic() > end:
                raise RuntimeError(
                    f"{ASKD_AT_LIMIT.name} responded with {status} while its only permit was held, expected 503"
                )
            time.sleep(0.01)
        yield
