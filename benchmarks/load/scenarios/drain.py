"""SIGTERM under load: what was accepted is answered, and what outlasts the drain time-out is told so."""

import asyncio
import json
import signal
import time
from collections import Counter
from typing import Final, NamedTuple

from tests.figures import wire
from tests.figures.numbers import counted, total
from tests.figures.polling import poll
from tests.figures.raw import Client, Failure, outcome
from tests.figures.report import Section
from tests.figures.run import Run
from tests.figures.server import Askd, ask

QUICK: Final = 35
SLOW: Final = 10
STREAMS: Final = 5
"""Clients whose questions take no time, 4 s, and 4 s as a stream."""
END: Final = 60.0
"""Seconds after which a process that was told to stop is taken to hang."""
BEGUN: Final = 1.5
"""Seconds in which all of those that will be cut off have come into the code; less than their deadline."""
LEFT: Final = 3
"""Questions, and streams, that outlast the drain time-out."""


class Drained(NamedTuple):
    """One run: what the clients got, the process's exit code (None: it hung), and seconds from signal to end."""

    outcomes: dict[str, int]
    failures: list[Failure]
    code: int | None
    seconds: float


async def measure(run: Run) -> Section:
    """Ten runs under load, then one that is cut off."""
    runs = run.plan.count(10, 2)
    section = Section(
        title="Drain: SIGTERM under 50 clients", head=("run", "exit code", "ended after", "failures", "responses")
    )
    found = [await _drained(run) for _ in range(runs)]
    for number, each in enumerate(found, 1):
        row = (str(number), str(each.code), f"{each.seconds:.1f} s", str(len(each.failures)), counted(each.outcomes))
        section.rows.append(row)
    kinds = Counter(_kind(failure) for each in found for failure in each.failures)
    section.notes += [f"{count} failures: {kind}" for kind, count in kinds.most_common(6)]
    clean = sum(not each.failures for each in found)
    section.judge("drain: runs without a failure", f"{runs} of {runs}", f"{clean} of {runs}", met=clean == runs)
    codes = Counter(str(each.code) for each in found)
    section.judge("drain: exit code", "0", counted(codes), met=codes.keys() == {"0"})
    others = {name: count for name, count in total(each.outcomes for each in found).items()
              if name not in {"200", "503", "answer"}}  # fmt: skip
    section.judge("drain: responses", "answers, or 503", f"others: {counted(others)}", met=not others)
    await _cut_off(run, section)
    return section


async def _drained(run: Run) -> Drained:
    async with run.askd("steps", ASKD_DRAIN_DELAY="2s") as askd:
        clients = [Client(askd.port, "0") for _ in range(QUICK)]
        clients += [Client(askd.port, "4") for _ in range(SLOW)]
        clients += [Client(askd.port, "4", stream=True) for _ in range(STREAMS)]
        asking = [asyncio.create_task(client.run()) for client in clients]
        try:
            await asyncio.sleep(run.plan.seconds(3, 1.5))
            began = time.monotonic()
            askd.send(signal.SIGTERM)
            code = await askd.ended(END)
            seconds = time.monotonic() - began
            await asyncio.wait(asking, timeout=5)
        finally:
            for each in asking:
                each.cancel()
    failures = [failure for client in clients for failure in client.failures]
    return Drained(total(client.outcomes for client in clients), failures, code, seconds)


def _kind(failure: Failure) -> str:
    place = "first on its connection" if failure.first else "on a kept connection"
    came = "a part" if failure.received else "no byte"
    return f"question of {failure.question} s, {place}, {failure.fault} after {came}"


async def _cut_off(run: Run, section: Section) -> None:
    """Questions and streams of a minute, and two seconds for them: the deadline of a question, not of a stream."""
    stops = {"ASKD_DRAIN_DELAY": "200ms", "ASKD_DRAIN_TIMEOUT": "2s", "ASKD_DEADLINE": "2s"}
    async with run.askd("steps", **stops) as askd:
        asking = [asyncio.create_task(_late(askd, stream=number >= LEFT)) for number in range(2 * LEFT)]

        async def begun() -> bool:
            return (await askd.metrics())["askd_answerer_in_flight"] == len(asking)

        if await poll(begun, BEGUN) is None:
            raise RuntimeError(f"not all of {len(asking)} questions are in the code after {BEGUN:g} s")
        askd.send(signal.SIGTERM)
        code = await askd.ended(END)
        found = Counter(await asyncio.gather(*asking))
        told = [json.loads(line) for line in askd.lines() if "drain time-out" in line and line.startswith("{")]
    met = code == 0 and found["error"] == LEFT and found["503"] + found["504"] == LEFT
    aim = f"{LEFT} × 503, or 504 at the deadline; {LEFT} streams: event: error; exit code 0"
    section.judge("drain: what outlasts its time-out", aim, f"{counted(found)}; exit code {code}", met=met)
    ended = found["503"] + found["error"]
    seen = ", ".join(f"{name}={value}" for event in told for name, value in event.items() if name != "timestamp")
    met = any(value == ended for event in told for value in event.values() if isinstance(value, int))
    section.judge("drain: the log says how many", str(ended), seen or "nothing", met=met)


async def _late(askd: Askd, *, stream: bool) -> str:
    fields = ["Accept: text/event-stream"] if stream else []
    try:
        return outcome(await ask(askd.port, wire.get("/ask?q=60", *fields)), stream=stream)
    except (OSError, EOFError) as fault:
        return f"broken ({type(fault).__name__})"
