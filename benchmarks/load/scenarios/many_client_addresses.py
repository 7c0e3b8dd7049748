"""A hundred thousand client addresses: what the rate per client remembers stays bounded."""

from typing import Final

from tests.figures.numbers import counted
from tests.figures.phase import Phase, Step
from tests.figures.report import Section, mib
from tests.figures.run import Run

PARTS: Final = 10
MOST: Final = 100_000
"""Clients that may be remembered at once."""
GROWTH: Final = 32 << 20
"""Bytes by which memory may grow over all addresses."""


async def measure(run: Run) -> Section:
    """Ask once from each address, in ten parts, and look at memory after each."""
    addresses = run.plan.count(100_000, 20_000)
    section = Section(
        title=f"{addresses:,} client addresses", head=("addresses", "resident", "tracked clients", "outcomes")
    )
    variables = {"ASKD_RATE": "1/s", "ASKD_TRUSTED_PROXIES": "127.0.0.0/8"}
    sizes, statuses = [], []
    async with run.askd("quick", **variables) as askd:
        await run.closed(askd.port, connections=32, seconds=run.plan.seconds(3, 1))
        sizes.append(askd.resident())
        for part in range(PARTS):
            statuses.append(await _part(run, askd.port, addresses // PARTS, part))
            sizes.append(askd.resident())
            tracked = _tracked(await askd.metrics())
            done = f"{(part + 1) * addresses // PARTS:,}"
            shown = "—" if tracked is None else f"{tracked:,.0f}"
            section.rows.append((done, mib(sizes[-1]), shown, counted(statuses[-1])))
        again = await run.closed(askd.port, connections=1, seconds=1, fields=["X-Forwarded-For: 192.0.2.1"])
    growth, later = sizes[-1] - sizes[0], sizes[-1] - sizes[PARTS // 2]
    section.notes.append(f"one address that asks all the time: {counted(again.outcomes)}")
    seen = f"{mib(growth)} in all, {mib(later)} in the second half"
    section.judge("many addresses: memory", f"< {mib(GROWTH)} in all", seen, met=growth < GROWTH)
    met = tracked is not None and 0 < tracked <= MOST
    section.judge("many addresses: remembered", f"shown, at most {MOST:,}", shown, met=met)
    served = all(outcomes.keys() == {"200"} for outcomes in statuses)
    section.judge("many addresses: each is served", "only 200", counted(statuses[-1]), met=served)
    seen = counted(again.outcomes)
    section.judge("one address over its rate", "200 and 429", seen, met=again.outcomes.keys() == {"200", "429"})
    return section


async def _part(run: Run, port: int, count: int, part: int) -> dict[str, int]:
    step, fields = Step(seconds=120, requests=count), ["X-Forwarded-For: {address}"]
    phase = Phase(
        port=port, connections=32, steps=[step], fields=fields, first_address=part * count, patience=10, pause=0.1
    )  # fmt: skip
    return (await run.shoot(phase))[0].outcomes


def _tracked(series: dict[str, float]) -> float | None:
    """How many clients are remembered, as the metric says; None: there is none."""
    return series.get("askd_rate_clients")
