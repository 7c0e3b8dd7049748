"""The answerers of a server: one at `/ask`, or several at `/ask/NAME`, each with its own guards, cache and limits."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, NoReturn, overload

from aiohttp import web

from askd.api.ask import Ask, PendingAnswer
from askd.api.ask_path import ASK_PATH, ask_path
from askd.errors import NotFound
from askd.guards.health import AnswererHealth
from askd.httpserver.protocol import HttpConnection
from askd.httpserver.request_parser import RequestHead
from askd.httpserver.router import UNMATCHED_ROUTE, Handler, Router
from askd.models import Answerer, Contract
from askd.pipeline import Pipeline
from askd.telemetry.metrics import AnswererMetrics

_MAX_SHOWN_NAME: Final = 100


class GuardedAnswerer(NamedTuple):
    """One answerer of a server, with its guards."""

    name: str
    """Its name in `/ask/NAME`; empty if the server has only one, and its spec names no others."""
    pipeline: Pipeline
    """Its guards. Use it to answer questions in other formats."""
    health: AnswererHealth
    metrics: AnswererMetrics

    @property
    def answerer(self) -> Answerer:
        """The answerer itself."""
        return self.pipeline.answerer

    @property
    def contract(self) -> Contract:
        """Its contract, complete once it is loaded."""
        return self.pipeline.answerer.contract

    @property
    def path(self) -> str:
        """Path of its questions, without the prefix of the server."""
        return ask_path(self.name)


class ServedAnswerers(Sequence[GuardedAnswerer]):
    """All answerers of a server, in the order of the spec.

    Args:
        answerers: The answerers.
        default: Name of the one at `/ask`; None if none is there.
    """

    def __init__(self, answerers: Sequence[GuardedAnswerer], default: str | None) -> None:
        self._answerers = tuple(answerers)
        self._by_name = {answerer.name: answerer for answerer in self._answerers}
        self.default = None if default is None else self._by_name[default]

    @overload
    def __getitem__(self, index: int) -> GuardedAnswerer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[GuardedAnswerer]: ...
    def __getitem__(self, index: int | slice) -> GuardedAnswerer | Sequence[GuardedAnswerer]:
        """Return the answerer at this position, or a slice."""
        return self._answerers[index]

    def __len__(self) -> int:
        return len(self._answerers)

    def __iter__(self) -> Iterator[GuardedAnswerer]:
        return iter(self._answerers)

    @property
    def names(self) -> list[str]:
        """The names in `/ask/NAME`; empty if there are none."""
        return [name for name in self._by_name if name]

    def raise_not_found(self, name: str = "") -> NoReturn:
        """Raise NotFound for an unknown name, or for `/ask` if no answerer is there; the error lists the names."""
        shown = ", ".join(self.names)
        if not name:
            detail = f"This server has several answerers. Send the question to {ASK_PATH}/NAME; the names are {shown}."
            raise NotFound(detail, answerers=self.names)
        similar = difflib.get_close_matches(name, self.names, n=1)
        hint = f" Did you mean {similar[0]!r}?" if similar else ""
        detail = f"There is no answerer {name[:_MAX_SHOWN_NAME]!r}.{hint} The names are {shown}."
        raise NotFound(detail, answerers=self.names)


class AskSelector:
    """The fast path of a server with several answerers: selects the handler by the path.

    `handlers` are the handlers by their paths, with the prefix of the server.
    """

    def __init__(self, handlers: Mapping[str, Ask]) -> None:
        self._handlers = handlers

    def __call__(self, head: RequestHead, connection: HttpConnection) -> bytes | PendingAnswer | None:
        """Return the response, or the pending answer; None leaves the request to aiohttp."""
        ask = self._handlers.get(head.target.partition("?")[0])
        return None if ask is None else ask(head, connection)


def register_routes(
    routes: Router, answerers: ServedAnswerers, handlers: Mapping[str, Ask], *, names_are_known: bool = True
) -> None:
    """Add the routes of all answerers.

    Args:
        routes: Routes of the server.
        answerers: The answerers.
        handlers: The handlers by name; that with an empty name is at `/ask`.
        names_are_known: False lets the handler of `/ask` respond at `/ask/NAME` too: with the error of the load.
    """

    async def no_default(_request: web.Request) -> web.StreamResponse:
        answerers.raise_not_found()

    async def unknown_name(request: web.Request) -> web.StreamResponse:
        answerers.raise_not_found(request.match_info["name"])

    for name, ask in handlers.items():
        routes.add(ask_path(name), {"GET": ask.get, "POST": ask.post}, requires_admission=True)
    if "" not in handlers:
        routes.add(ASK_PATH, {"GET": no_default, "POST": no_default}, requires_admission=True)
    if answerers.names or not names_are_known:
        unknown: Mapping[str, Handler] = {"GET": unknown_name, "POST": unknown_name}
        if not names_are_known:
            unknown = {"GET": handlers[""].get, "POST": handlers[""].post}
        routes.add(f"{ASK_PATH}/{{name}}", unknown, template=UNMATCHED_ROUTE, requires_admission=True)
