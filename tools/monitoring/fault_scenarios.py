"""Real faults of a real askd, and the alerts that each has to raise."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Final

from service.guards.tokens import pair
from tests.certificates import issue, write
from tests.figures.plan import Plan
from tests.figures.server import Askd, running
from tests.rules.load import load

CODE: Final = """
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
Scene = Callable[[Plan], AbstractAsyncContextManager[Askd]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong, how it is made, and which alerts it has to raise, with the number of times for a burn rate."""

    what: str
    raises: tuple[str, ...]
    scene: Scene


@contextlib.asynccontextmanager
async def _code(plan: Plan, name: str, *questions: str, **variables: str) -> AsyncIterator[Askd]:
    (plan.folder / "faulty.py").write_text(CODE)
    async with (
        running(plan, "serve", f"faulty.py:{name}", python_path=None, **variables) as askd,
        load(askd.port, questions=questions or ("one", "two", "three")),
    ):
        yield askd


def fails(plan: Plan) -> AbstractAsyncContextManager[Askd]:
    """Code raises."""
    return _code(plan, "fail")


def slow(plan: Plan) -> AbstractAsyncContextManager[Askd]:
    """Code takes 400 ms."""
    return _code(plan, "slow")


def hangs(plan: Plan) -> AbstractAsyncContextManager[Askd]:
    """Code never returns: each question ends at its deadline."""
    return _code(plan, "hang", ASKD_DEADLINE="1s", ASKD_CONCURRENCY="100")


def blocks(plan: Plan) -> AbstractAsyncContextManager[Askd]:
    """Code holds the event loop, for ever."""
    return _code(plan, "block", "fine", "fine", "block")


def overloaded(plan: Plan) -> AbstractAsyncContextManager[Askd]:
    """Eight times as much is asked as one place can answer, and nobody may wait."""
    return _code(plan, "slow", ASKD_CONCURRENCY="1", ASKD_QUEUE="0")


@contextlib.asynccontextmanager
async def broken_book(plan: Plan) -> AsyncIterator[Askd]:
    """A book is saved with a fault."""
    book = plan.folder / "book.yaml"
    book.write_text("- {ask: hello, answer: Hi}\n")
    async with running(plan, "serve", str(book)) as askd, load(askd.port):
        book.write_text("- {ask: hello}\n")
        yield askd


@contextlib.asynccontextmanager
async def answerer_down(plan: Plan) -> AsyncIterator[Askd]:
    """The server that answers is killed."""
    async with (
        _code(plan, "quick") as other,
        running(plan, "serve", f"ask+http://127.0.0.1:{other.port}") as askd,
        load(askd.port),
    ):
        await other.kill()
        yield askd


@contextlib.asynccontextmanager
async def broken_files(plan: Plan) -> AsyncIterator[Askd]:
    """The certificate ends within the day; then it, and the tokens, are saved with faults."""
    files = write(plan.folder, issue(ends=datetime.now(UTC) + timedelta(hours=12)))
    tokens = plan.folder / "tokens"
    tokens.write_text(pair("tester")[1] + "\n")
    variables = {f"ASKD_{name.upper()}": value for name, value in files.settings.items()}
    async with running(plan, "serve", python_path=None, ASKD_TOKENS_FILE=str(tokens), **variables) as askd:
        files.cert.write_text("no certificate")
        tokens.write_text("tester no-hash\n")
        yield askd


@contextlib.asynccontextmanager
async def killed(plan: Plan) -> AsyncIterator[Askd]:
    """The only replica is killed."""
    async with running(plan, "serve") as askd:
        yield askd


FAULTS: Final = (
    Fault(what="code that fails", scene=fails, raises=("AskdErrorBudgetBurn 14.4x", "AskdErrorBudgetBurn 6x")),
    Fault(what="code that is slow", scene=slow, raises=("AskdLatencyBudgetBurn 14.4x", "AskdLatencyBudgetBurn 6x")),
    Fault(what="code that hangs", scene=hangs, raises=("AskdErrorBudgetBurn 14.4x", "AskdErrorBudgetBurn 6x")),
    Fault(what="code that holds the loop", scene=blocks, raises=("AskdLoopStalls", "AskdDown")),
    Fault(what="overload", scene=overloaded, raises=("AskdShedding", "AskdErrorBudgetBurn 14.4x")),
    Fault(what="a broken book", scene=broken_book, raises=("AskdBookNotReloaded",)),
    Fault(what="the answering server killed", scene=answerer_down, raises=("AskdAnswererDown",)),
    Fault(
        what="broken tokens and certificate",
        scene=broken_files,
        raises=("AskdTokensNotRead", "AskdCertificateNotRead", "AskdCertificateExpires"),
    ),
    Fault(what="the only replica killed", scene=killed, raises=("AskdDown",)),
)
