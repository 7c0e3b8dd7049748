"""The pipeline: the only place where the order of guards around the answerer is written.

    at hand: the answerer's own, then the cache   costs neither waiting nor work, so that nothing may stand before it
    shed                                          what cannot be answered in time costs as little as can be
    single flight                                 who asks what is being answered already needs no place
    limiter                                       a place in the code, waited for a while
    deadline                                      around the code

`begin` goes as far as can be gone at once, without waiting; the `Turn` that it returns goes the rest.
"""

from time import perf_counter

from service.errors import NotCached
from service.guards.cache import Kept
from service.guards.limiter import Ticket
from service.guards.wishes import NONE, Wishes
from service.models import Answerer, Question
from service.turn import Guards, Key, Turn


class Pipeline:
    """Passes questions through the guards to one answerer.

    `deterministic` overrides what the answerer declares of itself; None leaves it.
    """

    def __init__(self, guards: Guards, *, deterministic: bool | None) -> None:
        self.guards = guards
        self.answerer = guards.answerer
        self.cache = guards.cache
        self.flights = guards.flights
        self.limiter = guards.limiter
        self._declared = deterministic

    @property
    def deterministic(self) -> bool:
        """Whether answers may be kept and validated: what the settings say, else what the answerer declares."""
        return self.answerer.deterministic if self._declared is None else self._declared

    def keeps(self, question: Question) -> bool:
        """Whether the answer may be given again: never within a conversation, which has a past."""
        return self.deterministic and question.thread is None

    @property
    def bare(self) -> bool:
        """Whether no answer is ever at hand, so that a place may be asked for before the question is read."""
        return not self.deterministic and type(self.answerer).at_hand is Answerer.at_hand

    def begin(self, question: Question, wishes: Wishes = NONE, *, ticket: Ticket | None = None) -> "Turn":
        """Return the question's turn, with its answer where that is at hand; use it as a context.

        `ticket` None: it has no place yet. Raises Overloaded, and NotCached where the client wants nothing but what is
        in the cache.
        """
        turn = Turn(self.guards, question, wishes)
        turn.keeps = self.keeps(question)
        turn.at_hand = self.answerer.at_hand(question)
        if turn.at_hand is not None:
            return turn
        shared = turn.keeps and self._look(turn)
        if turn.kept is not None or shared:
            return turn
        if not wishes.call:
            raise NotCached
        turn.ticket = ticket or self.guards.place(question.arrived)
        if turn.key is not None:
            self.guards.coming.add(turn.key)
        return turn

    def _look(self, turn: "Turn") -> bool:
        """Look for a kept answer; return whether the turn needs no place, as it joins the call of another."""
        started = perf_counter()
        turn.key = key = self.key(turn.question)
        wishes = turn.wishes
        found = self.cache.get(key, wishes.max_age) if wishes.look else self.cache.bypass()
        turn.question.stages.cache = perf_counter() - started
        if isinstance(found, Kept):
            turn.kept, turn.at_hand = found, found.answer
            return False
        turn.missed = found
        return wishes.call and (key in self.guards.coming or self.flights.under_way(key))

    def key(self, question: Question) -> Key:
        """Taken before the call: an answer is kept under the version that was asked, or not found again."""
        parameters = question.parameters
        return self.answerer.version, question.text, repr(sorted(parameters.items())) if parameters else ""
