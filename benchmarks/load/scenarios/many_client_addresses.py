"""A hundred thousand client addresses: the memory of the rate limiter stays bounded."""

from typing import Final

from benchmarks.load.phases import Phase, Step
from benchmarks.load.report import Section, format_mib
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import format_outcomes

BATCHES: Final = 10
MAX_ADDRESSES: Final = 100_000
"""Maximum number of tracked clients."""
MAX_MEMORY_GROWTH: Final = 32 << 20
"""Maximum growth of memory over all addresses, in bytes."""


async def measure(run: ScenarioContext) -> Section:
    """Send one request from each address, in ten batches, and measure the memory after each batch."""
    addresses = run.plan.count(100_000, 20_000)
    section = Section(
        title=f"{addresses:,} client addresses", head=("addresses", "resident", "tracked clients", "outcomes")
    )
    variables = {"ASKD_RATE_LIMIT": "1/s", "ASKD_TRUSTED_PROXIES": "127.0.0.0/8"}
    sizes, statuses = [], []
    async with run.serve_workload("quick", **variables) as askd:
        await run.closed_loop(askd.port, connections=32, seconds=run.plan.seconds(3, 1))
        sizes.append(askd.resident_bytes())
        for batch in range(BATCHES):
            statuses.append(await _run_batch(run, askd.port, addresses // BATCHES, batch))
            sizes.append(askd.resident_bytes())
            tracked = _tracked_clients(await askd.metrics())
            sent = f"{(batch + 1) * addresses // BATCHES:,}"
            tracked_text = "—" if tracked is None else f"{tracked:,.0f}"
            section.rows.append((sent, format_mib(sizes[-1]), tracked_text, format_outcomes(statuses[-1])))
        limited = await run.closed_loop(askd.port, connections=1, seconds=1, fields=["X-Forwarded-For: 192.0.2.1"])
    growth, later_growth = sizes[-1] - sizes[0], sizes[-1] - sizes[BATCHES // 2]
    section.notes.append(f"one address in a closed loop: {format_outcomes(limited.outcomes)}")
    measured = f"{format_mib(growth)} in total, {format_mib(later_growth)} in the second half"
    section.add_verdict(
        "many addresses: memory",
        f"< {format_mib(MAX_MEMORY_GROWTH)} in total",
        measured,
        met=growth < MAX_MEMORY_GROWTH,
    )
    met = tracked is not None and 0 < tracked <= MAX_ADDRESSES
    section.add_verdict("many addresses: tracked clients", f"exposed, at most {MAX_ADDRESSES:,}", tracked_text, met=met)
    all_served = all(outcomes.keys() == {"200"} for outcomes in statuses)
    section.add_verdict("many addresses: statuses", "only 200", format_outcomes(statuses[-1]), met=all_served)
    measured = format_outcomes(limited.outcomes)
    section.add_verdict(
        "one address over its limit", "200 and 429", measured, met=limited.outcomes.keys() == {"200", "429"}
    )
    return section


async def _run_batch(run: ScenarioContext, port: int, count: int, batch: int) -> dict[str, int]:
    step, fields = Step(seconds=120, requests=count), ["X-Forwarded-For: {address}"]
    phase = Phase(
        port=port, connections=32, steps=[step], fields=fields, first_address=batch * count, timeout=10, pause=0.1
    )  # fmt: skip
    return (await run.run_phase(phase))[0].outcomes


def _tracked_clients(series: dict[str, float]) -> float | None:
    """Return the number of tracked clients by the metric, or None if it is not exposed."""
    return series.get("askd_rate_limit_clients")
