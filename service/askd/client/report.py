"""`askd explain`: one exchange as a timeline, or many as figures."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from service.client import picture, summary
from service.client.exchange import Exchange, measure
from service.client.failed import Failed
from service.client.session import Session
from service.client.target import Target, Wanted, address
from service.settings import Settings


class Report:
    """What was measured of one question, asked once or several times."""

    def __init__(self, question: str, exchanges: list[Exchange], failures: list[Failed]) -> None:
        self._question = question
        self._exchanges = exchanges
        self._failures = failures
        """Where no exchange took place, or one without an answer, as often."""

    @property
    def failed(self) -> Failed | None:
        """The first failure, where not one question was answered; None: one was."""
        answered = any(each.status == 200 for each in self._exchanges)
        return None if answered or not self._failures else self._failures[0]

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        if len(self._exchanges) + len(self._lost) == 1 and self._exchanges:
            yield from picture.picture(self._question, self._exchanges[0])
        elif self._exchanges:
            yield from summary.summary(self._question, self._exchanges, self._lost)

    def json(self) -> str:
        """Return the same for programs: one exchange, or a summary that has all of them."""
        lost = self._lost
        found: Any
        if not self._exchanges:
            found = lost[0].told()
        elif len(self._exchanges) + len(lost) == 1:
            found = self._exchanges[0]
        else:
            found = summary.told(self._exchanges, lost)
        return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()

    @property
    def _lost(self) -> list[Failed]:
        return [each for each in self._failures if each.status is None]


async def explain(target: Target, wanted: Wanted, *, repeat: int, keep: bool) -> Report:
    """Ask so often, one after the other."""
    exchanges, failures = [], []
    async with Session(target, keep=keep) as session:
        for _ in range(repeat):
            try:
                exchange, failed = await measure(session, wanted)
            except Failed as lost:
                failures.append(lost)
                continue
            exchanges.append(exchange)
            failures += [failed] if failed else []
    return Report(wanted.question, exchanges, failures)


@contextlib.asynccontextmanager
async def asked(target: Target | None, settings: Settings, *, within: float) -> AsyncIterator[Target]:
    """Give the server to ask: `target`; None: the configured answerer, here, which has `within` seconds for each."""
    if target is not None:
        yield target
        return
    from service.client.within import served  # noqa: PLC0415 - the server is imported only where one is wanted

    async with served(settings) as url:
        yield Target(address(url), timeout=within)
