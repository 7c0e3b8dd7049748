"""The turn of one question: from where it can be answered at once, through the guards that may wait, to the code."""

import math
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import Any, Self

import msgspec

from service.call import Bound, Call, Deadlines, Record, exceeded
from service.errors import NoAnswer, Overloaded
from service.guards.cache import Cache, Kept, Missed
from service.guards.flight import Flight, Flights
from service.guards.limiter import Limiter, Ticket, retry_after
from service.guards.wishes import Wishes
from service.models import ABANDONED, Answer, Answerer, Question
from service.shared.cache import SharedCache

Key = tuple[str, str, str]


class Guards:
    """The guards around one answerer.

    `longest` is the server's own deadline for an answer, in seconds. `shared` is the cache of all replicas; None: there
    is none.
    """

    def __init__(
        self,
        answerer: Answerer,
        *,
        cache: Cache,
        flights: Flights[Answer],
        limiter: Limiter,
        record: Record,
        shared: SharedCache | None = None,
        longest: float = math.inf,
    ) -> None:
        self.answerer = answerer
        self.cache = cache
        self.flights = flights
        self.limiter = limiter
        self.shared = shared
        self.record = record
        self.longest = longest
        self.deadlines = Deadlines()
        self.coming: set[Key] = set()
        """Keys of the calls that others may join, and that have a place and have not begun."""

    def place(self, arrived: float) -> Ticket:
        """Return a place in the queue for a question that came then. Raises Overloaded."""
        ticket = self.limiter.admit(arrived)
        if ticket is None:
            raise Overloaded(retry_after())
        return ticket


class Turn:
    """One question's way from the cache to the code. Left as a context, it gives back its place, if it has one."""

    __slots__ = (
        *("at_hand", "guards", "handed", "keeps", "kept", "key", "leader", "missed", "question", "stored", "ticket"),
        "wishes",
    )

    def __init__(self, guards: Guards, question: Question, wishes: Wishes) -> None:
        self.guards = guards
        self.question = question
        self.wishes = wishes
        self.at_hand: Answer | None = None
        """The answer, where it needs no waiting."""
        self.keeps = False
        """Whether the answer may be given again."""
        self.key: Key | None = None
        """None: the answer is neither kept nor shared."""
        self.kept: Kept | None = None
        """What the cache had: the answer at hand, or that there is none."""
        self.missed: Missed | None = None
        """Why the cache had nothing; None: it was not looked into, or it had."""
        self.stored = False
        self.leader: str | None = None
        """Id of who began the call that the answer is from; None: it was this question's own."""
        self.ticket: Ticket | None = None
        """The place in the queue or in the code; None: none is needed, or it was handed on."""
        self.handed: Ticket | None = None
        """The place of the call that others wait for too, who may stay when this one leaves."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.ticket is not None:
            self.ticket.leave()
            if self.key is not None:
                self.guards.coming.discard(self.key)

    async def answer(self) -> Answer:
        """Ask the answerer, or wait for the answer to the same question.

        Raises NoAnswer, Refused, DeadlineExceeded, Overloaded, or AnswererFailed from whatever else the code raised.
        """
        if self.kept is not None:
            raise self.kept.no_answer()
        question = self.question
        if self.key is None:
            with Bound(question, self.guards.deadlines):
                return await self._call(question, self.ticket)
        fly = self.guards.flights.fly
        try:
            answer, _ = await fly(
                *(self.key, self._lead),
                until=question.deadline,
                name=question.id,
                joined=partial(setattr, self, "leader"),
                landed=self._landed,
            )
        except TimeoutError:
            raise exceeded(question) from None
        return answer

    async def stream(self) -> AsyncIterator[str | Answer]:
        """Yield deltas, then the whole Answer; one that is at hand is a single delta. Closing it stops the code."""
        if self.at_hand is not None:
            yield self.at_hand.text
            yield self.at_hand
            return
        if self.kept is not None:
            raise self.kept.no_answer()
        question, answer = self.question, None
        await self._enter(question, self._placed())
        try:
            with Call(question, self.guards.record):
                async with aclosing(self.guards.answerer.stream(question)) as events:  # type: ignore[type-var] # generators have aclose
                    async for event in events:
                        yield event
                        answer = event if isinstance(event, Answer) else answer
                if answer is None:
                    raise TypeError("the stream ended without an Answer")
        except NoAnswer as error:
            self._keep(error)
            raise
        self._keep(answer)

    def _lead(self, _flight: Flight) -> Coroutine[Any, Any, Answer]:
        """Return the call that all who ask the same wait for. The place is the call's from here on.

        Its time is the server's, not the first one's: it ends when the last who waits has left.
        """
        self.guards.coming.discard(self.key or ("", "", ""))
        self.handed, self.ticket = self.ticket or self.guards.place(self.question.arrived), None
        until = None if self.guards.longest == math.inf else self.question.arrived + self.guards.longest
        return self._call(msgspec.structs.replace(self.question, deadline=until), self.handed)

    def _landed(self) -> None:
        """Give the place of that call back, which has ended, or never began."""
        if self.handed is not None:
            self.handed.leave()

    def _placed(self) -> Ticket:
        """Return this turn's own place; one that was to join a call comes back for one here. Raises Overloaded."""
        self.ticket = self.ticket or self.guards.place(self.question.arrived)
        return self.ticket

    async def _call(self, question: Question, ticket: Ticket | None) -> Answer:
        if self.key is not None and (found := await self._elsewhere()) is not None:
            return found
        await self._enter(question, ticket or self._placed())
        try:
            with Call(question, self.guards.record):
                answer = await self.guards.answerer.answer(question)
        except NoAnswer as error:
            self._keep(error)
            raise
        self._keep(answer)
        return answer

    async def _enter(self, question: Question, ticket: Ticket) -> None:
        """Wait for a place in the code. Raises DeadlineExceeded and Overloaded."""
        try:
            await ticket.enter(question.deadline)
        except TimeoutError:
            raise exceeded(question) from None
        question.stages.queue = monotonic() - question.arrived
        ABANDONED.set(ticket.abandon)

    async def _elsewhere(self) -> Answer | None:
        """Return the answer that another replica has given, kept here from now on unless its end is near."""
        shared, key, cache = self.guards.shared, self.key, self.guards.cache
        if shared is None or key is None or not self.wishes.look:
            return None
        found = await shared.get(key)
        if found is not None and cache.ttl is None:
            self.stored = cache.put(key, found)
        return found

    def _keep(self, found: Answer | NoAnswer) -> None:
        key, cache, shared = self.key, self.guards.cache, self.guards.shared
        if key is None or not self.wishes.keep or self.guards.answerer.version != key[0]:
            return
        if isinstance(found, NoAnswer):
            self.stored = cache.put_no_answer(key, found)
            return
        self.stored = cache.put(key, found)
        if shared is not None:
            shared.put(key, found, cache.ttl)
