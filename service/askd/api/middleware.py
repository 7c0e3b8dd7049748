"""What is around every exchange, in the one place where it is written: observed, and its errors rendered."""

import asyncio
from typing import Final

from aiohttp import web

from service.errors import Overloaded, Unavailable
from service.web import connection
from service.web.admission import Admission
from service.web.client import Clients
from service.web.failures import Failures, known
from service.web.observe import Observer
from service.web.routes import Handler, Route

LEFT: Final = 499
"""Status in logs and metrics of an exchange whose client left before the answer; it is never sent."""


class Exchanges:
    """Puts an exchange around a handler: nothing that the handler raises escapes the log, the metrics or the client.

    `clients` finds whose each exchange is; None: the peer's.
    """

    def __init__(
        self, observer: Observer, failures: Failures, admission: Admission, *, clients: Clients | None = None
    ) -> None:
        self._observer = observer
        self._admission = admission
        self._clients = clients or Clients(())
        self._failures = failures

    def around(self, handler: Handler, route: Route) -> Handler:
        """Return the handler with its exchange around it."""
        observer, admit, guarded = self._observer, self._admission.admit, route.guarded
        client_of = self._clients.of

        async def exchange(request: web.Request) -> web.StreamResponse:
            headers = request.headers
            client = client_of(request.remote, headers)
            method, arrived = request.method, connection.arrived(request)
            if route.quiet:
                record = observer.begin(method, route.template, headers, client, arrived)
            else:
                target, sampled = request.raw_path, observer.decide(method, headers)
                record = observer.begin(
                    method, route.template, headers, client, arrived, target=target, sampled=sampled
                )
            try:
                try:
                    if guarded and (admitted := admit(headers, record)) is not None:
                        await admitted
                    response = await handler(request)
                except Exception as error:
                    record.shed = isinstance(error, Overloaded)
                    response = self._failed(request, error)
                record.status = record.status or response.status
                if not response.prepared:
                    observer.dress(request, response)
            except asyncio.CancelledError:
                if (ended := self._ended(request)) is None:
                    record.status = LEFT
                    raise
                response, record.status = ended, ended.status
                observer.dress(request, response)
            except BaseException:
                record.status = 500  # what could not be rendered; the connection answers by itself
                raise
            finally:
                observer.end(record, quiet=route.quiet)
            return response

        return exchange

    def end(self) -> None:
        """Answer with 503 whatever is cancelled from now on: the server ends, and the client is still there."""
        self._failures.ending = Unavailable("The server is stopping, and could not wait for this answer. Ask again.")

    def _ended(self, request: web.Request) -> web.Response | None:
        """Return the answer to a request whose exchange was cancelled; None: its client has left."""
        ending, task = self._failures.ending, asyncio.current_task()
        if ending is None or task is None or request.transport is None:
            return None
        task.uncancel()
        return self._failures.response(request, ending)

    def _failed(self, request: web.Request, error: Exception) -> web.StreamResponse:
        if isinstance(error, ConnectionError) and request.transport is None:
            raise asyncio.CancelledError from error  # the client left while it was being answered
        return self._failures.response(request, known(error))
