"""A scrape of real processes that together have all features enabled."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from askd.guards.tokens import generate_token
from benchmarks.load.askd_process import AskdProcess, running_askd
from benchmarks.load.run_options import RunOptions
from tests.support.certificates import issue_certificate, write_certificate

FUNCTION_SOURCE: Final = "def answer(q: str) -> str:\n    return q.upper()\n"
BOOK_SOURCE: Final = "- {ask: hello, answer: Hi}\n"
METRIC_PREFIXES: Final = ("askd_", "http_server_")
UNREACHABLE_REDIS: Final = "redis://127.0.0.1:9/0"


@contextlib.asynccontextmanager
async def running_servers(folder: Path) -> AsyncIterator[tuple[AskdProcess, ...]]:
    """Run a book with all guards, a function in threads and in a worker process, and an askd that forwards to it."""
    (folder / "book.yaml").write_text(BOOK_SOURCE)
    (folder / "upper.py").write_text(FUNCTION_SOURCE)
    token, token_line = generate_token("tester")
    (folder / "tokens").write_text(token_line + "\n")
    (folder / "token").write_text(token)
    tls_settings = write_certificate(folder, issue_certificate()).tls_settings
    guard_settings = {
        **{f"ASKD_{name.upper()}": value for name, value in tls_settings.items()},
        "ASKD_TOKENS_FILE": str(folder / "tokens"),
        "ASKD_RATE_LIMIT": "100/s",
        "ASKD_REDIS_URL": UNREACHABLE_REDIS,
    }
    plan = RunOptions(folder=folder)
    async with contextlib.AsyncExitStack() as stack:
        start = stack.enter_async_context
        book = await start(running_askd(plan, "serve", "book.yaml", python_path=None, **guard_settings))
        function = await start(running_askd(plan, "serve", "upper.py:answer"))
        remote = await start(running_askd(plan, "serve", f"ask+http://127.0.0.1:{function.port}"))
        workers = await start(running_askd(plan, "serve", "upper.py:answer", ASKD_PROCESSES="1"))
        yield book, function, remote, workers


async def scrape() -> str:
    """Return the concatenated metrics of all servers."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_servers(Path(folder)) as servers:
            responses = [await askd.get("/metrics", ops=True) for askd in servers]
    return "".join(response.body.decode() for response in responses)


def scrape_blocking() -> str:
    """Return the same outside of an event loop."""
    return asyncio.run(scrape())


def metric_families(text: str) -> dict[str, Metric]:
    """Return askd's families by query name, each with the samples of all processes."""
    families: dict[str, Metric] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith(METRIC_PREFIXES) and not family.name.endswith("_created"):
            name = family.name + ("_total" if family.type == "counter" else "")
            if name in families:
                families[name].samples += family.samples
            else:
                families[name] = family
    return families


def sample_names(text: str) -> set[str]:
    """Return all sample names, which queries may use, including those of libraries."""
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def label_values(families: Iterable[Metric]) -> dict[str, set[str]]:
    """Return the values of each label, without the histograms' `le`."""
    values: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label != "le":
                    values.setdefault(label, set()).add(value)
    return values
