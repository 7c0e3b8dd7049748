"""The four attacks of slowhttptest, with good clients beside them."""

import asyncio
import re
from typing import Final, NamedTuple

from tests.figures.numbers import Sample
from tests.figures.run import Run
from tests.figures.server import Askd

from .rude import still_open

CONNECTIONS: Final = 1000
GOOD: Final = 8
"""Connections of the good clients."""
SPARE: Final = 4.0
"""Seconds beyond the longest bound, after which none of the connections may be left."""


class Attack(NamedTuple):
    """One attack: its flag, what it is, what it asks for, and further options."""

    flag: str
    name: str
    target: str
    options: tuple[str, ...]
    rate: int = 200
    """Connections that it opens a second; fewer where each costs as much as a large answer does."""


ATTACKS: Final = (
    Attack("-H", "slow headers", "/ask?q=x", ("-i", "1")),
    Attack("-B", "slow bodies", "/ask", ("-i", "1", "-s", "8192", "-f", "application/json")),
    Attack("-R", "ranges", "/ask?q=x", ("-a", "5", "-b", "2000")),
    Attack("-X", "slow reads", "/ask?q=large", ("-n", "1", "-w", "512", "-y", "1024", "-z", "32"), rate=50),
)


class Attacked(NamedTuple):
    """What came of one: connections that were left after so many seconds, its last word, the good clients' sample."""

    left: int
    seconds: float
    exit_status: str
    good: Sample


async def run(run: Run, askd: Askd, attack: Attack, *, longest: float) -> Attacked:
    """Attack for so long that all connections must be gone in the end; `longest` is the longest bound in seconds."""
    seconds = CONNECTIONS / attack.rate + longest + SPARE
    good = asyncio.create_task(run.open(askd.port, rate=50, seconds=seconds, connections=GOOD, patience=5))
    attacking = asyncio.create_task(_attack(askd.port, attack, seconds + 2))
    try:
        await asyncio.wait({attacking}, timeout=seconds - 1)
        left = max(0, len(still_open(askd.port)) - GOOD)
        output, sample = await attacking, await good
    finally:
        for task in (attacking, good):
            task.cancel()
    found = re.search(r"Exit status:\s*(.*)", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output))
    return Attacked(left, seconds - 1, found[1].strip() if found else output[-200:], sample)


async def _attack(port: int, attack: Attack, seconds: float) -> str:
    """Run it to its end, and return what it has written."""
    url = f"http://127.0.0.1:{port}{attack.target}"
    counts = ("-c", str(CONNECTIONS), "-r", str(attack.rate), "-l", str(round(seconds)), "-p", "3", "-v", "1")
    process = await asyncio.create_subprocess_exec(
        *("slowhttptest", attack.flag, "-u", url, *counts, *attack.options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return (await process.communicate())[0].decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
