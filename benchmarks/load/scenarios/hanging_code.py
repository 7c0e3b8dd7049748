"""Sync code that never returns: other requests are served until all permits are taken, then readiness fails."""

import asyncio
import signal
import time
from collections import Counter
from typing import Final

from benchmarks.load.askd_process import AskdProcess
from benchmarks.load.report import Section
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import format_outcomes

CONCURRENCY: Final = 10
STALL_TIMEOUT: Final = 6.0
"""The minimum of ASKD_STALL_TIMEOUT, in seconds."""
TOLERANCE: Final = 3.0
"""Allowed seconds in addition to a time limit."""
SHUTDOWN_SETTINGS: Final = {
    "ASKD_DEADLINE": "5s",
    "ASKD_DRAIN_DELAY": "1s",
    "ASKD_DRAIN_TIMEOUT": "5s",
    "ASKD_SHUTDOWN_TIMEOUT": "2s",
    "ASKD_FLUSH_TIMEOUT": "1s",
}
SHUTDOWN_SECONDS: Final = 1.0 + 5.0 + 2.0 + 1.0
"""Sum of the shutdown steps in seconds."""


async def measure(run: ScenarioContext) -> Section:
    """Block all permits but one, then the last one, wait until readiness fails, and stop askd."""
    section = Section(
        title=f"Sync code that never returns, {CONCURRENCY} calls",
        head=("state", "other requests", "/readyz", "/livez"),
    )
    variables = {
        "ASKD_THREADS": str(CONCURRENCY),
        "ASKD_CONCURRENCY": str(CONCURRENCY),
        "ASKD_STALL_TIMEOUT": f"{STALL_TIMEOUT:g}s",
    }
    async with run.serve_workload("hang", **variables, **SHUTDOWN_SETTINGS) as askd:
        hanging = await _send_hanging(askd, CONCURRENCY - 1)
        served = await _send_others(askd, 20)
        section.rows.append((f"{CONCURRENCY - 1} calls hang", format_outcomes(served), *await _probes(askd)))
        hanging += await _send_hanging(askd, 1)
        started_at = time.monotonic()
        rejected = Counter(await asyncio.gather(*(_ask(askd, "other", "X-Request-Timeout: 2") for _ in range(5))))
        section.rows.append((f"{CONCURRENCY} calls hang", format_outcomes(rejected), *await _probes(askd)))
        unready, details = await _wait_until_unready(askd, started_at)  # includes the 2 s of these five requests
        section.rows.append(("after the stall time-out", "—", *await _probes(askd)))
        stopped_at = time.monotonic()
        askd.send_signal(signal.SIGTERM)
        code, seconds = await askd.wait_for_exit(SHUTDOWN_SECONDS + 20), time.monotonic() - stopped_at
    section.notes += [f"responses of the calls that hang: {format_outcomes(hanging)}", f"/readyz: {details or '—'}"]
    section.add_verdict(
        "hang: other requests while a permit is free", "20 × 200", format_outcomes(served), met=served == {"200": 20}
    )
    bounded = not rejected.keys() - {"503", "504"}
    section.add_verdict(
        "hang: other requests without a free permit", "503 or 504", format_outcomes(rejected), met=bounded
    )
    measured = "never" if unready is None else f"after {unready:.1f} s"
    met = unready is not None and STALL_TIMEOUT - 1 <= unready <= STALL_TIMEOUT + TOLERANCE
    section.add_verdict(
        "hang: readiness fails", f"after {STALL_TIMEOUT:.0f}–{STALL_TIMEOUT + TOLERANCE:.0f} s", measured, met=met
    )
    measured = f"{seconds:.1f} s, exit code {code}"
    section.add_verdict(
        "hang: shutdown",
        f"≤ {SHUTDOWN_SECONDS + 1:.0f} s, exit code 0",
        measured,
        met=code == 0 and seconds <= SHUTDOWN_SECONDS + 1,
    )
    return section


async def _send_hanging(askd: AskdProcess, calls: int) -> Counter[str]:
    """Send requests that never return, with a deadline of 1 s."""
    return Counter(await asyncio.gather(*(_ask(askd, "hang", "X-Request-Timeout: 1") for _ in range(calls))))


async def _send_others(askd: AskdProcess, count: int) -> Counter[str]:
    return Counter([await _ask(askd, "other", "X-Request-Timeout: 2") for _ in range(count)])


async def _ask(askd: AskdProcess, question: str, *fields: str) -> str:
    try:
        return str((await askd.get(f"/ask?q={question}", *fields, timeout=3)).status)
    except TimeoutError:
        return "no response in 3 s"
    except (OSError, EOFError) as error:
        return type(error).__name__


async def _probes(askd: AskdProcess) -> tuple[str, str]:
    readiness, liveness = [await askd.get(path, ops=True) for path in ("/readyz", "/livez")]
    return str(readiness.status), str(liveness.status)


async def _wait_until_unready(askd: AskdProcess, started_at: float) -> tuple[float | None, str]:
    """Wait until readiness fails. Returns the seconds since `started_at` (None after a time-out) and the details."""
    while time.monotonic() - started_at < STALL_TIMEOUT + 2 * TOLERANCE:
        response = await askd.get("/readyz?verbose", ops=True)
        if response.status != 200:
            return time.monotonic() - started_at, " ".join(response.body.decode(errors="replace").split())[:300]
        await asyncio.sleep(0.1)
    return None, ""
