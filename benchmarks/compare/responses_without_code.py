"""Answers that call no code: one from the cache, a 304 and a 503, each against the bare app's only answer."""

import contextlib
import dataclasses
import functools
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.figures import wire

from . import load, measure, report
from .servers import ASKD, BARE, Running, code

AIM: Final = 1.5
"""Throughput of each as a multiple of the bare app's, at least."""
CACHED: Final = code("askd, cached answer", "deterministic")
UNCHANGED: Final = dataclasses.replace(ASKD, name="askd, 304")
FULL: Final = code("askd, 503", "holding", ASKD_CONCURRENCY="1", ASKD_QUEUE="0", ASKD_DEADLINE="3600s")
HOLD_LIMIT: Final = 5.0
"""Seconds within which the one that holds the only place must have it."""


def run(plan: measure.Plan) -> dict[str, list[load.Sample]]:
    """Load the three and the bare app in turns."""
    with measure.started([CACHED, UNCHANGED, FULL, BARE], plan) as (cached, unchanged, full, bare), _held(full):
        hit = cached.ask()[1].get("Cache-Status", "")
        if "hit" not in hit:
            raise RuntimeError(f"{CACHED.name} says of its cache {hit!r}, expected a hit")
        takes = {
            CACHED.name: functools.partial(measure.loaded, cached, plan),
            UNCHANGED.name: functools.partial(measure.loaded, unchanged, plan, script=_script(unchanged, plan.folder)),
            FULL.name: functools.partial(measure.loaded, full, plan, status=503),
            BARE.name: functools.partial(measure.loaded, bare, plan),
        }
        return measure.turns(takes, plan)


def lines(samples: Mapping[str, Sequence[load.Sample]]) -> list[str]:
    """Table of what each gives, against the bare app; failures are what is not the status that is meant."""
    rows, bare = [], load.median(samples[BARE.name])
    for name, runs in samples.items():
        each = load.median(runs)
        ratio = each.rate / bare.rate
        aim = "" if name == BARE.name else report.verdict(f"≥ {AIM:g}", met=ratio >= AIM)
        costs = (f"{each.cpu * 1e6:.1f}", f"{bare.cpu / each.cpu:.2f}")
        times = (f"{each.p50 * 1e3:.2f}", f"{each.p99 * 1e3:.2f}")
        rows.append([name, f"{each.rate:,.0f}", f"{ratio:.2f}", aim, *costs, *times, str(each.failures)])
    head = ("server", "answers/s", "÷ bare", "aim", "CPU µs each", "by CPU", "p50 ms", "p99 ms", "failures")
    return ["## Without calling the code", "", *report.table(head, rows)]


def _script(process: Running, folder: Path) -> Path:
    """Write what makes wrk say that it has the answer. Raises RuntimeError where that is no 304."""
    etag = process.ask()[1]["ETag"]
    status, *_ = process.ask({"If-None-Match": etag})
    if status != 304:
        raise RuntimeError(f"{UNCHANGED.name} answers {status} to its own ETag {etag}, expected 304")
    script = folder / "unchanged.lua"
    script.write_text(f"wrk.headers['If-None-Match'] = [[{etag}]]\n", encoding="utf-8")
    return script


@contextlib.contextmanager
def _held(process: Running) -> Iterator[None]:
    """Let one question hold the only place until the block ends. Raises RuntimeError where others are served still."""
    with socket.create_connection(("127.0.0.1", process.port)) as holder:
        holder.sendall(wire.get("/ask?q=hold"))
        end = time.monotonic() + HOLD_LIMIT
        while (status := process.ask()[0]) != 503:
            if time.monotonic() > end:
                raise RuntimeError(f"{FULL.name} answers {status} though its only place is held, expected 503")
            time.sleep(0.01)
        yield
