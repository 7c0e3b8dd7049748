"""A scrape of real processes that have every feature on together."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Final

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.guards.tokens import pair
from tests.certificates import issue, write
from tests.figures.plan import Plan
from tests.figures.server import Askd, running

CODE: Final = "def answer(q: str) -> str:\n    return q.upper()\n"
BOOK: Final = "- {ask: hello, answer: Hi}\n"
OWN: Final = "askd_"
NOWHERE: Final = "redis://127.0.0.1:9/0"


@contextlib.asynccontextmanager
async def everything(folder: Path) -> AsyncIterator[tuple[Askd, ...]]:
    """Run a book with every guard on, a function, and what asks the function; between them they have every metric."""
    (folder / "book.yaml").write_text(BOOK)
    (folder / "upper.py").write_text(CODE)
    token, line = pair("tester")
    (folder / "tokens").write_text(line + "\n")
    (folder / "token").write_text(token)
    guarded = {
        **{f"ASKD_{name.upper()}": value for name, value in write(folder, issue()).settings.items()},
        "ASKD_TOKENS_FILE": str(folder / "tokens"),
        "ASKD_RATE": "100/s",
        "ASKD_REDIS_URL": NOWHERE,
    }
    plan = Plan(folder=folder)
    async with contextlib.AsyncExitStack() as stack:
        book = await stack.enter_async_context(running(plan, "serve", "book.yaml", python_path=None, **guarded))
        code = await stack.enter_async_context(running(plan, "serve", "upper.py:answer"))
        remote = await stack.enter_async_context(running(plan, "serve", f"ask+http://127.0.0.1:{code.port}"))
        yield book, code, remote


async def scrape() -> str:
    """Return what the three expose, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        async with everything(Path(folder)) as servers:
            replies = [await askd.get("/metrics", ops=True) for askd in servers]
    return "".join(reply.body.decode() for reply in replies)


def scraped() -> str:
    """Do the same from outside of any loop."""
    return asyncio.run(scrape())


def families(text: str) -> dict[str, Metric]:
    """Return askd's families by the names of queries, each with the samples of all processes."""
    found: dict[str, Metric] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith(OWN) and not family.name.endswith("_created"):
            name = family.name + ("_total" if family.type == "counter" else "")
            found.setdefault(name, family).samples += family.samples if name in found else []
    return found


def names(text: str) -> set[str]:
    """Return every name that a query may use: those of samples, askd's or not."""
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def labels(families: Iterable[Metric]) -> dict[str, set[str]]:
    """Return the values that each label has; `le` belongs to the histograms themselves."""
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            for label, value in _own(sample.labels):
                found.setdefault(label, set()).add(value)
    return found


def _own(labels: Any) -> Iterable[tuple[str, str]]:
    return ((label, value) for label, value in labels.items() if label != "le")
