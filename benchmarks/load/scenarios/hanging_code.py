"""Sync code that never returns takes one place after the other; the rest is served until there is none."""

import asyncio
import signal
import time
from collections import Counter
from typing import Final

from tests.figures.numbers import counted
from tests.figures.report import Section
from tests.figures.run import Run
from tests.figures.server import Askd

PLACES: Final = 10
STALL: Final = 6.0
"""ASKD_STALL_LIMIT in seconds: the least that it may be."""
SLACK: Final = 3.0
"""Seconds beyond a bound in which something is still in its time."""
STOPS: Final = {
    "ASKD_DEADLINE": "5s",
    "ASKD_DRAIN_DELAY": "1s",
    "ASKD_DRAIN_TIMEOUT": "5s",
    "ASKD_SHUTDOWN_TIMEOUT": "2s",
    "ASKD_FLUSH_TIMEOUT": "1s",
}
STOP: Final = 1.0 + 5.0 + 2.0 + 1.0
"""The sum of the bounds in seconds."""


async def measure(run: Run) -> Section:
    """Hang all places but one, ask; hang the last, wait for readiness; end it."""
    section = Section(
        title=f"Sync code that never returns, {PLACES} calls", head=("when", "other questions", "/readyz", "/livez")
    )
    variables = {"ASKD_THREADS": str(PLACES), "ASKD_CONCURRENCY": str(PLACES), "ASKD_STALL_LIMIT": f"{STALL:g}s"}
    async with run.askd("hang", **variables, **STOPS) as askd:
        hung = await _hang(askd, PLACES - 1)
        served = await _others(askd, 20)
        section.rows.append((f"{PLACES - 1} hang", counted(served), *await _probes(askd)))
        hung += await _hang(askd, 1)
        began = time.monotonic()
        refused = Counter(await asyncio.gather(*(_ask(askd, "other", "X-Request-Timeout: 2") for _ in range(5))))
        section.rows.append((f"{PLACES} hang", counted(refused), *await _probes(askd)))
        unready, why = await _unready(askd, began)  # those five have taken 2 s of the time
        section.rows.append(("after the stall limit", "—", *await _probes(askd)))
        began = time.monotonic()
        askd.send(signal.SIGTERM)
        code, seconds = await askd.ended(STOP + 20), time.monotonic() - began
    section.notes += [f"the calls that hang got: {counted(hung)}", f"/readyz said: {why or '—'}"]
    section.judge("hang: others while a place is left", "20 × 200", counted(served), met=served == {"200": 20})
    bounded = not refused.keys() - {"503", "504"}
    section.judge("hang: others when none is left", "503 or 504", counted(refused), met=bounded)
    seen = "never" if unready is None else f"after {unready:.1f} s"
    met = unready is not None and STALL - 1 <= unready <= STALL + SLACK
    section.judge("hang: readiness says so", f"after {STALL:.0f}–{STALL + SLACK:.0f} s", seen, met=met)
    seen = f"{seconds:.1f} s, exit code {code}"
    section.judge(
        "hang: SIGTERM ends it", f"≤ {STOP + 1:.0f} s, exit code 0", seen, met=code == 0 and seconds <= STOP + 1
    )
    return section


async def _hang(askd: Askd, calls: int) -> Counter[str]:
    """Ask so many questions that are never answered, with a second to answer each."""
    return Counter(await asyncio.gather(*(_ask(askd, "hang", "X-Request-Timeout: 1") for _ in range(calls))))


async def _others(askd: Askd, count: int) -> Counter[str]:
    return Counter([await _ask(askd, "other", "X-Request-Timeout: 2") for _ in range(count)])


async def _ask(askd: Askd, question: str, *fields: str) -> str:
    try:
        return str((await askd.get(f"/ask?q={question}", *fields, limit=3)).status)
    except TimeoutError:
        return "none in 3 s"
    except (OSError, EOFError) as fault:
        return type(fault).__name__


async def _probes(askd: Askd) -> tuple[str, str]:
    ready, alive = [await askd.get(path, ops=True) for path in ("/readyz", "/livez")]
    return str(ready.status), str(alive.status)


async def _unready(askd: Askd, began: float) -> tuple[float | None, str]:
    """Wait for readiness to fail; returns how many seconds after `began` it did (None: not), and its words."""
    while time.monotonic() - began < STALL + 2 * SLACK:
        found = await askd.get("/readyz?verbose", ops=True)
        if found.status != 200:
            return time.monotonic() - began, " ".join(found.body.decode(errors="replace").split())[:300]
        await asyncio.sleep(0.1)
    return None, ""
