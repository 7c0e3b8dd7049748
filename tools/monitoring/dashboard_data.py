"""The dashboard's expressions, with Grafana's variables filled in, and a small fleet under load to ask them of."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from tests.figures.plan import Plan
from tests.figures.server import running
from tests.rules import prometheus
from tests.rules.dashboard import expressions
from tests.rules.files import PLAIN, rules
from tests.rules.load import load
from tests.rules.parameters import Parameters
from tests.rules.prometheus import Prometheus

BOARD: Final = PLAIN.with_name("dashboard.json")
_CODE: Final = """
import asyncio, random

async def answer(q: str) -> str | None:
    await asyncio.sleep(random.expovariate(20))
    if q.startswith("fail"):
        raise ValueError(q)
    return None if q.startswith("nobody") else q.upper()

answer.deterministic = True
"""

_MANY: Final = 600
QUESTIONS: Final = [
    f"{word} {number % 5 if word == 'hello' else number}"
    for number in range(_MANY)
    for word in ("hello", "what is", "explain", "nobody knows" if number % 5 else "fail")
]
"""Some are asked again and again, most once; a fifth have no answer, and one in twenty fails."""


def board() -> dict[str, Any]:
    """Read the dashboard."""
    found: dict[str, Any] = json.loads(BOARD.read_text(encoding="utf-8"))
    return found


def filled(expression: str, *, window: str) -> str:
    """Put values in the places of Grafana's variables: everything, over so long a time."""
    values = {"$__rate_interval": window, "$__range": window, "$namespace": ".*", "$job": ".*"}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def filled_all(*, window: str) -> dict[str, str]:
    """Return every expression of the dashboard so."""
    return {where: filled(found, window=window) for where, found in expressions(board()).items()}


@contextlib.asynccontextmanager
async def fleet(folder: Path, *, scale: float = 60, rate: float = 40) -> AsyncIterator[Prometheus]:
    """Run two replicas under more load than they can take, scraped every second; when the block begins one drains."""
    (folder / "prometheus").mkdir()
    (folder / "answers.py").write_text(_CODE)
    plan, variables = Plan(folder=folder), {"ASKD_CONCURRENCY": "2", "ASKD_QUEUE": "2", "ASKD_DRAIN_DELAY": "60s"}
    async with contextlib.AsyncExitStack() as stack:
        serve = [stack.enter_async_context(_replica(plan, variables)) for _ in range(2)]
        first, second = await asyncio.gather(*serve)
        server = prometheus.running(folder / "prometheus", rules(Parameters(scale=scale)))
        found = await stack.enter_async_context(server)
        found.targets({"one": first.ops_port, "two": second.ops_port})
        for askd in (first, second):
            await stack.enter_async_context(load(askd.port, rate=rate, questions=QUESTIONS))
        await found.seen('count(increase(askd_requests_total{route="/ask",code="200"}[5s]) > 0) == 2')
        second.send(signal.SIGTERM)
        await found.seen("askd_draining == 1")
        yield found


def _replica(plan: Plan, variables: dict[str, str]) -> Any:
    return running(plan, "serve", "answers.py:answer", python_path=None, **variables)
