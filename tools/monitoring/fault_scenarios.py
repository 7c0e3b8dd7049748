"""Faults of a real askd, and the alerts that each must raise."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Final

from askd.guards.tokens import generate_token
from benchmarks.load.askd_process import AskdProcess, running_askd
from benchmarks.load.run_options import RunOptions
from tests.support.certificates import issue_certificate, write_certificate
from tools.monitoring.background_load import background_load

FUNCTION_SOURCE: Final = """
import asyncio, time

def fail(q: str) -> str:
    raise ValueError(q)

async def slow(q: str) -> str:
    await asyncio.sleep(0.4)
    return q

async def hang(q: str) -> str:
    await asyncio.sleep(3600)
    return q

async def block(q: str) -> str:
    time.sleep(3600 if q == "block" else 0)
    return q

async def quick(q: str) -> str:
    return q
"""
RunScenario = Callable[[RunOptions], AbstractAsyncContextManager[AskdProcess]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaultScenario:
    """A fault, and the alerts that it must raise; the name of a budget alert is followed by its burn rate."""

    name: str
    expected_alerts: tuple[str, ...]
    run: RunScenario


@contextlib.asynccontextmanager
async def _serving_function(
    plan: RunOptions, name: str, *questions: str, client_timeout: float = 5, **environ: str
) -> AsyncIterator[AskdProcess]:
    (plan.folder / "faulty.py").write_text(FUNCTION_SOURCE)
    async with (
        running_askd(plan, "serve", f"faulty.py:{name}", python_path=None, **environ) as askd,
        background_load(askd.port, questions=questions or ("one", "two", "three"), timeout=client_timeout),
    ):
        yield askd


def failing_code(plan: RunOptions) -> AbstractAsyncContextManager[AskdProcess]:
    """The answerer raises."""
    return _serving_function(plan, "fail")


def slow_code(plan: RunOptions) -> AbstractAsyncContextManager[AskdProcess]:
    """The answerer takes 400 ms."""
    return _serving_function(plan, "slow")


def hanging_code(plan: RunOptions) -> AbstractAsyncContextManager[AskdProcess]:
    """The answerer never returns: each request ends at its deadline."""
    return _serving_function(plan, "hang", ASKD_DEADLINE="1s", ASKD_CONCURRENCY="100")


def impatient_clients(plan: RunOptions) -> AbstractAsyncContextManager[AskdProcess]:
    """The answerer takes 400 ms, and clients disconnect after 200 ms."""
    return _serving_function(plan, "slow", client_timeout=0.2)


def blocked_event_loop(plan: RunOptions) -> AbstractAsyncContextManager[AskdProcess]:
    """The answerer blocks the event loop."""
    return _serving_function(plan, "block", "fine", "fine", "block")


def overload(plan: RunOptions) -> AbstractAsyncContextManager[AskdProcess]:
    """The load is eight times the capacity, and the queue is disabled."""
    return _serving_function(plan, "slow", ASKD_CONCURRENCY="1", ASKD_QUEUE_SIZE="0")


@contextlib.asynccontextmanager
async def broken_book(plan: RunOptions) -> AsyncIterator[AskdProcess]:
    """An invalid book is saved."""
    book = plan.folder / "book.yaml"
    book.write_text("- {ask: hello, answer: Hi}\n")
    async with running_askd(plan, "serve", str(book)) as askd, background_load(askd.port):
        book.write_text("- {ask: hello}\n")
        yield askd


@contextlib.asynccontextmanager
async def answerer_down(plan: RunOptions) -> AsyncIterator[AskdProcess]:
    """The upstream server is killed."""
    async with (
        _serving_function(plan, "quick") as upstream,
        running_askd(plan, "serve", f"ask+http://127.0.0.1:{upstream.port}") as askd,
        background_load(askd.port),
    ):
        await upstream.kill()
        yield askd


@contextlib.asynccontextmanager
async def broken_files(plan: RunOptions) -> AsyncIterator[AskdProcess]:
    """The certificate expires within a day; then an invalid certificate and invalid tokens are saved."""
    files = write_certificate(plan.folder, issue_certificate(not_after=datetime.now(UTC) + timedelta(hours=12)))
    tokens = plan.folder / "tokens"
    tokens.write_text(generate_token("tester")[1] + "\n")
    environ = {f"ASKD_{name.upper()}": value for name, value in files.tls_settings.items()}
    async with running_askd(plan, "serve", python_path=None, ASKD_TOKENS_FILE=str(tokens), **environ) as askd:
        files.cert.write_text("not a certificate")
        tokens.write_text("tester no-hash\n")
        yield askd


@contextlib.asynccontextmanager
async def killed_replica(plan: RunOptions) -> AsyncIterator[AskdProcess]:
    """The only replica is killed."""
    async with running_askd(plan, "serve") as askd:
        yield askd


FAULT_SCENARIOS: Final = (
    FaultScenario(
        name="failing code",
        run=failing_code,
        expected_alerts=("AskdErrorBudgetBurn 14.4x", "AskdErrorBudgetBurn 6x"),
    ),
    FaultScenario(
        name="slow code",
        run=slow_code,
        expected_alerts=("AskdLatencyBudgetBurn 14.4x", "AskdLatencyBudgetBurn 6x"),
    ),
    FaultScenario(
        name="hanging code",
        run=hanging_code,
        expected_alerts=("AskdErrorBudgetBurn 14.4x", "AskdErrorBudgetBurn 6x"),
    ),
    FaultScenario(name="impatient clients", run=impatient_clients, expected_alerts=("AskdClientsLeave",)),
    FaultScenario(name="blocked event loop", run=blocked_event_loop, expected_alerts=("AskdLoopStalls", "AskdDown")),
    FaultScenario(name="overload", run=overload, expected_alerts=("AskdShedding", "AskdErrorBudgetBurn 14.4x")),
    FaultScenario(name="invalid book", run=broken_book, expected_alerts=("AskdBookNotReloaded",)),
    FaultScenario(name="upstream server killed", run=answerer_down, expected_alerts=("AskdAnswererDown",)),
    FaultScenario(
        name="invalid tokens and certificate",
        run=broken_files,
        expected_alerts=("AskdTokensNotRead", "AskdCertificateNotRead", "AskdCertificateExpires"),
    ),
    FaultScenario(name="only replica killed", run=killed_replica, expected_alerts=("AskdDown",)),
)
