"""Hostile clients, each kind alone and all together, against a server with 384 MiB of memory and 1,024 descriptors.

`BENCH_ATTACKS` selects attacks of `attack_client`, separated by commas, and also `none` and `all together`;
`BENCH_SECONDS` is the duration of each.
"""

import asyncio
import dataclasses
import json
import os
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import trustme

from benchmarks.load.attack_client import ATTACKS, TLS_ATTACKS
from benchmarks.load.generator_process import ROOT
from benchmarks.load.good_client import GoodClient
from benchmarks.load.memory_group import limited_command, memory_group, peak_bytes
from benchmarks.load.report import Section, format_mib, format_ms
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import format_outcomes, percentile, sum_outcomes

P99_AIM: Final = 0.1
"""Maximum p99 of the good client in seconds."""
NO_ATTACK: Final = "none"
ALL_TOGETHER: Final = "all together"
HEAD: Final = ("attack", "peak memory", "attackers got", "connections closed", "accept pauses")
HEAD_GOOD: Final = ("good client", "p50", "p99", "max", "failures", "ops p99", "ops failures")


async def measure(run: ScenarioContext) -> Section:
    """Measure a good client without an attack, beside each attack, and beside all of them."""
    selected = [name for name in os.environ.get("BENCH_ATTACKS", "").split(",") if name]
    seconds = float(os.environ.get("BENCH_SECONDS") or run.plan.seconds(20, 2))
    section = Section(title="Hostile clients", head=(*HEAD, *HEAD_GOOD))
    for name in selected or [NO_ATTACK, *ATTACKS, ALL_TOGETHER]:
        attacks = {NO_ATTACK: [], ALL_TOGETHER: list(ATTACKS)}.get(name, [name])
        await _measure_attack(run, section, name, attacks, seconds)
        if name in TLS_ATTACKS:
            await _measure_attack(run, section, f"{name}, TLS", attacks, seconds, tls=True)
    return section


async def _measure_attack(
    run: ScenarioContext, section: Section, title: str, attacks: list[str], seconds: float, *, tls: bool = False
) -> None:
    variables, tls_context = _create_certificate(run.plan.folder) if tls else ({}, None)
    with memory_group() as group:
        limited = ScenarioContext(dataclasses.replace(run.plan, server_command=limited_command(group)))
        async with limited.serve_workload("large", **variables) as askd:
            good = GoodClient(askd.port, tls_context)
            asking = asyncio.create_task(good.run())
            outcomes = await _attack(run, askd.port, attacks, seconds)
            asking.cancel()
            has_exited = askd.has_exited
            metrics = {} if has_exited else await askd.metrics()
            peak = "killed" if has_exited else format_mib(peak_bytes(askd.pid))
    if group is None:
        section.notes.append("control groups are not writable: no memory limit")
    closed = {
        series.split('"')[1]: int(value)
        for series, value in metrics.items()
        if series.startswith("askd_connections_closed_total") and value
    }
    latencies, probe = good.latencies, limited.ops_probe
    p99 = percentile(latencies, 0.99)
    ops_p99 = percentile([value for values in probe.times.values() for value in values], 0.99)
    section.rows.append(
        (
            *(title, peak, format_outcomes(outcomes), format_outcomes(closed)),
            f"{metrics.get('askd_accept_pauses_total', 0):.0f}",
            *(f"{len(latencies):,} × 200", format_ms(percentile(latencies, 0.5)), format_ms(p99)),
            *(format_ms(max(latencies, default=-1)), format_outcomes(good.failures)),
            *(format_ms(ops_p99), str(len(probe.failures))),
        )
    )
    section.add_verdict(
        f"hostile clients: {title}",
        f"p99 of a good client < {format_ms(P99_AIM)}, no failure",
        f"{format_ms(p99)}, {format_outcomes(good.failures)}, peak {peak}",
        met=p99 < P99_AIM and not good.failures and not has_exited,
    )


async def _attack(run: ScenarioContext, port: int, attacks: list[str], seconds: float) -> dict[str, int]:
    """Run attacks in a process of their own. Returns the outcomes of their connections."""
    if not attacks:
        return await asyncio.sleep(seconds, {})
    process = await asyncio.create_subprocess_exec(
        *run.plan.pin_command(run.plan.load_core),
        *(sys.executable, "-m", "benchmarks.load.attack_client", str(port), str(seconds), *attacks),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    output, _ = await process.communicate()
    return sum_outcomes(map(Counter, json.loads(output).values()))


def _create_certificate(folder: Path) -> tuple[dict[str, str], ssl.SSLContext]:
    """Return the settings of a server with TLS, and the context of its clients."""
    authority = trustme.CA()
    path = str(folder / "tls.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {"ASKD_TLS_CERT": path, "ASKD_TLS_KEY": path}, context
