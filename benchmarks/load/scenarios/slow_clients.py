"""A thousand slow connections are closed in time, while normal clients are served without delay."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from benchmarks.load import raw_http, slowhttptest
from benchmarks.load.askd_process import AskdProcess
from benchmarks.load.generator_process import generator_note
from benchmarks.load.report import Section, format_ms
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.slow_client import SlowClient, record_lifetimes
from benchmarks.load.step_result import StepResult, format_outcomes, percentile

CLIENTS_PER_KIND: Final = 250
CONNECT_INTERVAL: Final = 0.01
"""Seconds between two new connections, so that their large responses do not slow the measurement down."""
TOLERANCE: Final = 3.0
"""Allowed seconds in addition to a time limit."""
NORMAL_CLIENT_P99: Final = 0.1
"""Maximum p99 of normal clients in seconds."""
RATE: Final = 50.0
"""Requests per second of the normal clients."""


class ClientKind(NamedTuple):
    """Clients of one kind, the limit of their connections in seconds, and the expected status (empty: any)."""

    name: str
    limit: float
    clients: Sequence[SlowClient]
    status: str = ""


async def measure(run: ScenarioContext) -> Section:
    """Run the slow clients, then the attacks of slowhttptest, each with normal clients."""
    limits = {name: run.plan.seconds(full, quick) for name, full, quick in (
        ("HEADER_TIMEOUT", 10, 3), ("BODY_TIMEOUT", 5, 2), ("WRITE_TIMEOUT", 20, 3), ("DEADLINE", 30, 6)
    )}  # fmt: skip
    variables = {f"ASKD_{name}": f"{seconds:g}s" for name, seconds in limits.items()}
    head = ("kind", "connections", "limit", "closed in time", "late or never", "p50", "max", "status")
    section = Section(title=f"Slow clients: {4 * CLIENTS_PER_KIND:,} connections", head=head)
    async with run.serve_workload("large", **variables) as askd:
        await _measure_slow_clients(run, askd, limits, section)
    if shutil.which("slowhttptest"):
        async with run.serve_workload("large", **variables) as askd:
            for attack in slowhttptest.ATTACKS:
                result = await slowhttptest.run_attack(run, askd, attack, longest_limit=max(limits.values()))
                section.notes.append(f"slowhttptest {attack.flag} ({attack.name}): {result.exit_status}")
                measured = f"{result.open_connections} open after {result.seconds:.0f} s"
                met = not result.open_connections
                section.add_verdict(
                    f"slowhttptest {attack.flag}: {attack.name}", "all closed in time", measured, met=met
                )
                judge_normal_clients(section, f"slowhttptest {attack.flag}: p99 of normal clients", result.normal)
    else:
        section.add_verdict("slowhttptest", "runs", "skipped: slowhttptest is not installed", met=None)
    return section


async def _measure_slow_clients(
    run: ScenarioContext, askd: AskdProcess, limits: dict[str, float], section: Section
) -> None:
    kinds = _create_clients(limits)
    clients = [client for kind in kinds for client in kind.clients]
    seconds = max(limits.values()) + len(clients) * CONNECT_INTERVAL + 2 * TOLERANCE
    normal = asyncio.create_task(run.open_loop(askd.port, rate=RATE, seconds=seconds, connections=8, timeout=5))
    recording = asyncio.create_task(record_lifetimes(askd.port, clients))
    try:
        for client in clients:
            await client.open(askd.port)
            await asyncio.sleep(CONNECT_INTERVAL)
        sample = await normal
    finally:
        for task in (normal, recording):
            task.cancel()
        for client in clients:
            client.close()
    for kind in kinds:
        _add_row(section, kind)
    section.notes.append(f"normal clients: {format_outcomes(sample.outcomes)}; {generator_note([sample])}")
    judge_normal_clients(section, "slow clients: p99 of normal clients", sample)


def _create_clients(limits: dict[str, float]) -> list[ClientKind]:
    large = raw_http.get_request("/ask?q=large")
    head = b"GET /ask?q=x HTTP/1.1\r\nHost: x\r\nX: "
    body = b'POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"q":"'
    header_timeout = limits["HEADER_TIMEOUT"]
    return [
        ClientKind("sends nothing", header_timeout, [SlowClient() for _ in range(CLIENTS_PER_KIND)]),
        ClientKind(
            "sends headers slowly",
            header_timeout,
            [SlowClient(head, piece=b"a") for _ in range(CLIENTS_PER_KIND)],
        ),
        ClientKind(
            "sends its body slowly",
            limits["BODY_TIMEOUT"],
            [SlowClient(body, piece=b"a") for _ in range(CLIENTS_PER_KIND)],
            "408",
        ),
        ClientKind(
            "reads nothing",
            limits["WRITE_TIMEOUT"],
            [SlowClient(large, read_size=0) for _ in range(CLIENTS_PER_KIND // 2)],
        ),
        ClientKind(
            "reads slowly",
            limits["DEADLINE"],
            [SlowClient(large, read_size=64) for _ in range(CLIENTS_PER_KIND // 2)],
        ),
    ]


def judge_normal_clients(section: Section, subject: str, sample: StepResult) -> None:
    """Add the verdict on the normal clients."""
    met = 0 < sample.p99 < NORMAL_CLIENT_P99 and not sample.outcomes_except(200)
    section.add_verdict(
        subject,
        f"< {format_ms(NORMAL_CLIENT_P99)}, only 200",
        f"{format_ms(sample.p99)}, {format_outcomes(sample.outcomes)}",
        met=met,
    )


def _add_row(section: Section, kind: ClientKind) -> None:
    lifetimes = [client.lifetime for client in kind.clients if client.lifetime is not None]
    in_time, total = sum(seconds <= kind.limit + TOLERANCE for seconds in lifetimes), len(kind.clients)
    statuses = _statuses(kind.clients)
    row = (kind.name, str(total), f"{kind.limit:g} s", str(in_time), str(total - in_time))
    p50, longest = percentile(lifetimes, 0.5), max(lifetimes, default=0.0)
    times = (f"{seconds:.1f} s" if lifetimes else "—" for seconds in (p50, longest))
    section.rows.append((*row, *times, format_outcomes(statuses)))
    has_status = not kind.status or statuses == {kind.status: total}
    aim = f"all closed within {kind.limit:g} s" + (f", with {kind.status}" if kind.status else "")
    measured = f"{in_time} of {total}" + (f", with {format_outcomes(statuses)}" if kind.status else "")
    section.add_verdict(f"slow clients: {kind.name}", aim, measured, met=in_time == total and has_status)


def _statuses(clients: Sequence[SlowClient]) -> dict[str, int]:
    return dict(Counter(client.status for client in clients))
