"""An exchange that goes on from the door in a task of its own: what needs the code."""

import asyncio
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING

from aiohttp.http_parser import RawRequestMessage

from service.errors import Overloaded, Problem
from service.telemetry.exchange import Exchange
from service.turn import Turn
from service.web import reply
from service.web.asked import Asked
from service.web.doorway import Doorway
from service.web.exchanges import LEFT
from service.web.reply import Reply

if TYPE_CHECKING:
    from service.web.door import Door


class Underway:
    """An exchange that waits for the code, in a task of its own."""

    __slots__ = ("_asked", "_begun", "_door", "_intake", "_message", "_record", "_task", "_turn", "due")

    def __init__(
        self,
        door: "Door",
        record: Exchange,
        *,
        message: RawRequestMessage,
        intake: Doorway,
        asked: Asked,
        turn: Turn,
    ) -> None:
        self._door = door
        self._record = record
        self._message = message
        self._intake = intake
        self._asked = asked
        self._turn = turn
        self._begun = False
        self.due: float | None = asked.manner.until
        """When it must have ended, in seconds of `time.monotonic`."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """End it: its client has left, or the server cannot wait any longer."""
        if not self._begun and not self._task.done():  # its own clean-up would never run
            self._turn.__exit__()
            self._left()
        self._task.cancel()

    async def _run(self) -> None:
        self._begun = True
        try:
            found = await self._answer()
        except asyncio.CancelledError:
            ending, task = self._door.failures.ending, asyncio.current_task()
            if ending is None or task is None or self._intake.transport is None:
                self._left()
                raise
            task.uncancel()
            found = self._door.failed(self._message, ending)
        data = self._door.finished(self._record, found, self._message, self._intake)
        self._intake.answered(data, self._message)

    async def _answer(self) -> Reply:
        """Return the answer, or what went wrong."""
        turn, message = self._turn, self._message
        try:
            with turn:
                try:
                    answer = await turn.answer()
                except Problem as error:
                    error.headers = {**error.headers, **reply.cached(turn)}
                    raise
            self._record.leader = turn.leader or ""
            way = self._asked.manner.representation
            return reply.answered(turn, answer, way, message.headers, safe=True)
        except Exception as error:
            self._record.shed = isinstance(error, Overloaded)
            return self._door.failed(message, error)

    def _left(self) -> None:
        overdue = self.due is not None and monotonic() >= self.due  # the connection has told the client so
        self._record.status = HTTPStatus.GATEWAY_TIMEOUT if overdue else LEFT
        self._door.observer.end(self._record, quiet=False)
