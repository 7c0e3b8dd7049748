"""Latency at half of askd's maximum throughput, compared with the bare app at the same rate."""

import asyncio
import functools
import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from benchmarks.compare import measure, report
from benchmarks.compare.servers import ASKD, BARE, RunningServer
from benchmarks.load import run_options
from benchmarks.load.generator_process import generator_note, run_phase
from benchmarks.load.phases import Phase, Step
from benchmarks.load.step_result import OK_STATUS, StepResult

AIM: Final = 1.0
"""Maximum p99 of askd, as a multiple of the bare app's."""
MAX_LOAD_SHARE: Final = 0.8
"""Share of its maximum at which the bare app, or the generator, works without a growing queue."""


class HalfLoadResult(NamedTuple):
    """Offered requests per second, the reason for that rate, and the samples of each server."""

    rate: float
    reason: str
    samples: dict[str, list[StepResult]]


def run(plan: measure.Plan) -> HalfLoadResult:
    """Measure the maximum of each server, then offer both the same rate in an open loop, alternately."""
    with measure.running_servers([ASKD, BARE], plan) as processes:
        loads = {server.server.name: functools.partial(measure.measure_load, server, plan) for server in processes}
        askd, bare = (runs[0].rate for runs in measure.run_alternately(loads, plan._replace(rounds=1)).values())
        generator = _run_at_rate(processes[0], plan, None, plan.seconds).goodput
        rate, reason = choose_rate(askd, bare, generator)
        loads_at_rate = {
            server.server.name: functools.partial(_run_at_rate, server, plan, rate) for server in processes
        }
        return HalfLoadResult(rate, reason, measure.run_alternately(loads_at_rate, plan))


def choose_rate(askd: float, bare: float, generator: float) -> tuple[float, str]:
    """Return a rate that askd, the bare app and the generator can sustain, and the reason for it.

    The arguments are their maximum requests per second.
    """
    rates = {
        "half of askd's maximum": askd / 2,
        f"{MAX_LOAD_SHARE * 100:.0f} % of the bare app's maximum, which is less than half of askd's": MAX_LOAD_SHARE
        * bare,
        f"{MAX_LOAD_SHARE * 100:.0f} % of the generator's maximum, which is less than half of askd's": MAX_LOAD_SHARE
        * generator,
    }
    reason = min(rates, key=rates.__getitem__)
    return rates[reason], reason


def lines(result: HalfLoadResult) -> list[str]:
    """Return the table of latencies, which are measured from the due time of a request."""
    p99s = {name: _median(samples, "p99") for name, samples in result.samples.items()}
    rows = []
    for name, samples in result.samples.items():
        ratio = p99s[name] / p99s[BARE.name]
        aim = report.verdict(f"≤ {AIM:.1f}", met=ratio <= AIM) if name == ASKD.name else ""
        times = [f"{value * 1e3:.2f}" for value in (_median(samples, "p50"), p99s[name])]
        failures = sum(sum(sample.outcomes_except(OK_STATUS).values()) for sample in samples)
        rows.append([name, f"{_median(samples, 'goodput'):,.0f}", *times, f"{ratio:.2f}", aim, str(failures)])
    all_samples = [sample for samples in result.samples.values() for sample in samples]
    head = ("server", "responses/s", "p50 ms", "p99 ms", "÷ bare", "aim", "failures")
    generator = generator_note(all_samples, min(p99s.values()) / 2)
    note = f"{result.rate:,.0f} requests per second: {result.reason}; {generator}."
    return ["## Latency at half of the maximum throughput", "", *report.table(head, rows), "", note]


def _run_at_rate(process: RunningServer, plan: measure.Plan, rate: float | None, seconds: float) -> StepResult:
    """Offer a server this number of requests per second; None runs a closed loop."""
    step = Step(seconds=seconds, rate=rate)
    phase = Phase(
        port=process.port,
        target="/ask?q=hello",
        connections=plan.connections,
        steps=[step],
        timeout=5,
        poll_interval=0,
    )
    return asyncio.run(run_phase(run_options.RunOptions(folder=plan.folder, load_core=plan.load_core), phase))[0]


def _median(samples: Sequence[StepResult], field: str) -> float:
    return float(statistics.median(getattr(sample, field) for sample in samples))
