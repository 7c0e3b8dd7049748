"""The four attacks of slowhttptest, with normal clients at the same time."""

import asyncio
import re
from typing import Final, NamedTuple

from benchmarks.load.askd_process import AskdProcess
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.slow_client import open_client_ports
from benchmarks.load.step_result import StepResult

CONNECTIONS: Final = 1000
NORMAL_CONNECTIONS: Final = 8
"""Number of connections of the normal clients."""
EXTRA_SECONDS: Final = 4.0
"""Seconds in addition to the longest limit, after which all connections must be closed."""


class Attack(NamedTuple):
    """One attack: flag of slowhttptest, description, request target and further options."""

    flag: str
    name: str
    target: str
    options: tuple[str, ...]
    rate: int = 200
    """New connections per second; fewer if each one costs a large response."""


ATTACKS: Final = (
    Attack("-H", "slow headers", "/ask?q=x", ("-i", "1")),
    Attack("-B", "slow bodies", "/ask", ("-i", "1", "-s", "8192", "-f", "application/json")),
    Attack("-R", "ranges", "/ask?q=x", ("-a", "5", "-b", "2000")),
    Attack("-X", "slow reads", "/ask?q=large", ("-n", "1", "-w", "512", "-y", "1024", "-z", "32"), rate=50),
)


class AttackResult(NamedTuple):
    """Result of one attack: connections open after `seconds`, exit status, and the sample of the normal clients."""

    open_connections: int
    seconds: float
    exit_status: str
    normal: StepResult


async def run_attack(run: ScenarioContext, askd: AskdProcess, attack: Attack, *, longest_limit: float) -> AttackResult:
    """Attack until all connections must be closed, which depends on the longest time limit in seconds."""
    seconds = CONNECTIONS / attack.rate + longest_limit + EXTRA_SECONDS
    normal = asyncio.create_task(
        run.open_loop(askd.port, rate=50, seconds=seconds, connections=NORMAL_CONNECTIONS, timeout=5)
    )
    attacking = asyncio.create_task(_run_slowhttptest(askd.port, attack, seconds + 2))
    try:
        await asyncio.wait({attacking}, timeout=seconds - 1)
        open_connections = max(0, len(open_client_ports(askd.port)) - NORMAL_CONNECTIONS)
        output, sample = await attacking, await normal
    finally:
        for task in (attacking, normal):
            task.cancel()
    match = re.search(r"Exit status:\s*(.*)", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output))
    return AttackResult(open_connections, seconds - 1, match[1].strip() if match else output[-200:], sample)


async def _run_slowhttptest(port: int, attack: Attack, seconds: float) -> str:
    """Run slowhttptest and return its output."""
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
