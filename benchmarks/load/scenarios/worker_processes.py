"""Sync code in two worker processes instead of threads: throughput, cost of a call, hanging and crashing code."""

import asyncio
import dataclasses
import math
import time
from pathlib import Path
from typing import Final

from benchmarks.load.askd_process import AskdProcess
from benchmarks.load.phases import Phase, Step
from benchmarks.load.report import Section, format_mib, format_ms
from benchmarks.load.run_options import calibrate_loops
from benchmarks.load.scenario_context import ScenarioContext, ScenarioSkipped
from benchmarks.load.step_result import CLIENT_TIMEOUT, StepResult, format_outcomes

PROCESSES: Final = 2
WORKERS: Final = {"ASKD_PROCESSES": str(PROCESSES)}
CPU_SECONDS: Final = 0.02
OVERLOAD: Final = 10
LAG_METRIC: Final = "askd_event_loop_lag_seconds"
MAX_LAG: Final = 0.01
"""Aim for the 99th percentile of the event-loop lag in seconds, a bucket of its histogram."""


async def measure(run: ScenarioContext) -> Section:
    """Run all parts, with the server on all cores, except for overload: there the load has a separate core."""
    pinned_run = run
    if run.plan.server_core is None:
        raise ScenarioSkipped("it needs two cores")
    run = ScenarioContext(dataclasses.replace(run.plan, server_core=None))
    run.ops_probe = pinned_run.ops_probe
    section = Section(title="Sync code in 2 worker processes", head=("part", "threads", "processes", "ratio"))
    loops = {"BENCH_LOOPS": str(calibrate_loops(CPU_SECONDS))}
    await _measure_start(run, section)
    await _measure_cost(run, section)
    await _measure_throughput(run, section, loops)
    await _measure_overload(pinned_run, section, loops)
    await _measure_hang(run, section)
    await _measure_crashes(run, section)
    return section


async def _measure_start(run: ScenarioContext, section: Section) -> None:
    """Measure the time until ready, and the memory of a worker with code that imports nothing."""
    seconds, memory = {}, [0]
    for name, variables in (("threads", {}), ("processes", WORKERS)):
        started_at = time.monotonic()
        async with run.serve_workload("immediate", **variables) as askd:
            seconds[name] = time.monotonic() - started_at
            memory = [_private_bytes(pid) for pid in _children(askd.pid)] or memory
    ratio = seconds["processes"] / seconds["threads"]
    section.rows.append(
        ("start to ready", f"{seconds['threads']:.2f} s", f"{seconds['processes']:.2f} s", f"{ratio:.2f}")
    )
    section.add_verdict("processes: start to ready ÷ threads", "shown", f"{ratio:.2f}", met=None)
    section.add_verdict("processes: private memory of a worker", "shown", format_mib(max(memory)), met=None)


async def _measure_cost(run: ScenarioContext, section: Section) -> None:
    """Measure the latency of a trivial call over one connection, and the throughput over eight."""
    for connections in (1, 8):
        samples = []
        for variables in ({}, WORKERS):
            async with run.serve_workload("immediate", ASKD_LOG_SAMPLE="0", **variables) as askd:
                await run.closed_loop(askd.port, connections=connections, seconds=run.plan.seconds(2, 1))
                samples.append(
                    await run.closed_loop(askd.port, connections=connections, seconds=run.plan.seconds(6, 2))
                )
        threads, processes = samples
        if connections == 1:
            ratio = processes.p50 / threads.p50
            texts = [f"{sample.p50 * 1e6:,.0f} µs" for sample in samples]
            section.rows.append(("trivial call, p50", *texts, f"{ratio:.2f}"))
            section.add_verdict("processes: a trivial call ÷ threads", "≤ 2.5", f"{ratio:.2f}", met=ratio <= 2.5)
        else:
            ratio = processes.goodput / threads.goodput
            texts = [f"{sample.goodput:,.0f}/s" for sample in samples]
            section.rows.append((f"trivial calls, {connections} connections", *texts, f"{ratio:.2f}"))


async def _measure_throughput(run: ScenarioContext, section: Section, loops: dict[str, str]) -> None:
    """Compare the throughput of 20 ms of CPU time per call."""
    samples = []
    lag = math.nan
    for variables in ({}, WORKERS):
        async with run.serve_workload("sync", **loops, **variables) as askd:
            await _closed_loop(run, askd, 2)
            before = await askd.metrics()
            samples.append(await _closed_loop(run, askd, 20))
            lag = _share_on_time(before, await askd.metrics())
    threads, processes = samples
    ratio = processes.goodput / threads.goodput
    texts = [f"{sample.goodput:,.1f}/s" for sample in samples]
    section.rows.append((f"{CPU_SECONDS * 1e3:.0f} ms of CPU time, 4 connections", *texts, f"{ratio:.2f}"))
    section.add_verdict("processes: throughput ÷ threads", "≥ 1.7", f"{ratio:.2f}", met=ratio >= 1.7)
    section.add_verdict(
        f"processes: event-loop lag < {format_ms(MAX_LAG)}", "≥ 99 % of samples", f"{lag:.1%}", met=lag >= 0.99
    )


async def _closed_loop(run: ScenarioContext, askd: AskdProcess, seconds: float) -> StepResult:
    return await run.closed_loop(askd.port, connections=2 * PROCESSES, seconds=run.plan.seconds(seconds, 2), timeout=5)


async def _measure_overload(run: ScenarioContext, section: Section, loops: dict[str, str]) -> None:
    """Offer ten times the capacity of a core, over 400 connections and over a new connection for each request."""
    for name, connections, aim in (("keep-alive", 400, 0.9), ("new connections", 0, 0.8)):
        async with run.serve_workload("sync", **loops, **WORKERS) as askd:
            capacity = (await _closed_loop(run, askd, 6)).goodput
            steps = [Step(seconds=run.plan.seconds(seconds, 2), rate=OVERLOAD * capacity) for seconds in (5, 10)]
            phase = Phase(port=askd.port, connections=connections, steps=steps, timeout=1 if connections else 5)
            sample = (await run.run_phase(phase))[1]
        share = sample.goodput / capacity
        section.rows.append((f"{OVERLOAD}× the capacity, {name}", "", f"{sample.goodput:,.1f}/s", f"{share:.2f}"))
        section.add_verdict(f"processes: goodput, {name}", f"≥ {aim:.0%}", f"{share:.1%}", met=share >= aim)
        others = sample.outcomes_except(200, 503, CLIENT_TIMEOUT)
        section.add_verdict(
            f"processes: statuses, {name}", "only 200 and 503", f"others: {format_outcomes(others)}", met=not others
        )


async def _measure_hang(run: ScenarioContext, section: Section) -> None:
    """Measure how long after its deadline a call that never returns holds its place."""
    async with run.serve_workload("hang", **WORKERS) as askd:
        times = []
        for _ in range(run.plan.count(5, 2)):
            response = await askd.get("/ask?q=hang", "X-Request-Timeout: 1")
            answered_at = time.monotonic()
            while (await askd.metrics())["askd_answerer_abandoned"]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
            times.append((response.status, time.monotonic() - answered_at))
    slowest = max(seconds for _, seconds in times)
    statuses = sorted({status for status, _ in times})
    section.add_verdict("processes: a call that hangs", "504", str(statuses), met=statuses == [504])
    section.add_verdict("processes: its place is free", "< 1 s", f"{slowest:.2f} s at most", met=slowest < 1)


async def _measure_crashes(run: ScenarioContext, section: Section) -> None:
    """Count the failed requests of code that crashes in one of a thousand calls, at full load."""
    loops = {"BENCH_LOOPS": str(calibrate_loops(0.004))}
    async with run.serve_workload("crash", **loops, **WORKERS) as askd:
        sample = await run.closed_loop(askd.port, connections=8, seconds=run.plan.seconds(20, 5), timeout=10)
        died = (await askd.metrics())['askd_worker_exits_total{reason="died"}']
    failed = sample.outcomes.get("500", 0)
    measured = f"{format_outcomes(sample.outcomes)}; {died:.0f} crashes"
    met = failed == died and not sample.outcomes_except(200, 500)
    section.add_verdict("processes: segmentation faults", "one 500 each, nothing else", measured, met=met)


def _share_on_time(before: dict[str, float], after: dict[str, float]) -> float:
    """Return the share of samples of the event-loop lag up to MAX_LAG between two scrapes."""
    on_time, total = f'{LAG_METRIC}_bucket{{le="{MAX_LAG:g}"}}', f"{LAG_METRIC}_count"
    return (after[on_time] - before[on_time]) / max(after[total] - before[total], 1)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))
