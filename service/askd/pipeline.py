"""The pipeline: the steps between a question and the call to the answerer, in this order.

    immediate answer      from the answerer or the cache of this replica; needs neither waiting nor work
    single flight         a request joins a call in flight for the same question, and needs no permit
    load shedding         early and cheaply rejects requests that could not be answered in time
    deadline              bounds all that follows
    Redis cache           answers of the other replicas, if Redis is configured
    concurrency limit     waits in the queue for a slot

`Pipeline.begin()` runs the steps up to load shedding, which need no waiting; the `Execution` that it returns runs the
others. Streams skip single flight and Redis, and their consumer bounds their time (`api/streaming.py`).
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Self

import msgspec

from askd.errors import AnswererFailed, Interrupted, NoAnswer, NotCached, Overloaded, Problem, Refused
from askd.guards.cache import NO_DIRECTIVES, AnswerCache, CacheDirectives, CacheHit, MissReason
from askd.guards.concurrency import ConcurrencyLimiter, Permit, jittered_retry_after
from askd.guards.deadline import DeadlineScope, DeadlineTimers, deadline_exceeded
from askd.guards.single_flight import SingleFlight
from askd.models import Answer, Answerer, Question, detach_permit_var
from askd.redis_backend.cache import RedisCache

CacheKey = tuple[str, str, str]
"""Version of the answerer, text of the question, and its parameters."""


OutcomeRecorder = Callable[[str, float], None]
"""Called with the outcome of one call of the answerer (one of `ANSWERER_OUTCOMES` in telemetry) and its seconds."""


class Execution:
    """One question on its way through the pipeline. A context manager: it releases its permit, if it holds one."""

    __slots__ = (
        "cache_directives",
        "cache_hit",
        "cache_key",
        "cacheable",
        "immediate",
        "leader_id",
        "miss_reason",
        "permit",
        "pipeline",
        "question",
        "shared_call_permit",
        "stored",
    )

    def __init__(self, pipeline: "Pipeline", question: Question, cache_directives: CacheDirectives) -> None:
        self.pipeline = pipeline
        self.question = question
        self.cache_directives = cache_directives
        self.immediate: Answer | None = None
        """The answer, if it was available without waiting."""
        self.cacheable = False
        self.cache_key: CacheKey | None = None
        """None if the answer is neither cached nor shared with other requests."""
        self.cache_hit: CacheHit | None = None
        """The cached answer, or a cached NoAnswer."""
        self.miss_reason: MissReason | None = None
        """Why the cache had no answer. None after a hit, or if the cache was not used."""
        self.stored = False
        """Whether the cache has stored the answer."""
        self.leader_id: str | None = None
        """Request id of the single-flight leader. None if this request made its own call."""
        self.permit: Permit | None = None
        """Permit of this request. None if it needs none, or passed it to a shared call."""
        self.shared_call_permit: Permit | None = None
        """Permit of the shared call that this request started, and that may outlive it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.permit is not None:
            self.permit.release()
            if self.cache_key is not None:  # the shared call was never started
                self.pipeline.pending_keys.discard(self.cache_key)

    async def answer(self) -> Answer:
        """Call the answerer, or wait for a call in flight for the same question.

        Raises:
            NoAnswer: Raised by the answerer, or cached.
            Refused: The answerer refused the question.
            DeadlineExceeded: No answer before the deadline.
            Overloaded: The request was shed.
            AnswererFailed: The answerer raised any other exception.
        """
        if self.cache_hit is not None:
            raise self.cache_hit.make_no_answer_error()
        question = self.question
        with DeadlineScope(question, self.pipeline.deadline_timers):
            if self.cache_key is None:
                return await self._get_from_redis_or_call(question, self.permit)
            answer, _ = await self.pipeline.single_flight.do(
                self.cache_key,
                self._start_shared_call,
                request_id=question.id,
                on_join=partial(setattr, self, "leader_id"),
                on_done=self._release_shared_call_permit,
            )
            return answer

    async def stream(self) -> AsyncIterator[str | Answer]:
        """Yield deltas, then the whole Answer; an immediate answer is a single delta.

        Closing the iterator stops the answerer.
        """
        if self.immediate is not None:
            yield self.immediate.text
            yield self.immediate
            return
        if self.cache_hit is not None:
            raise self.cache_hit.make_no_answer_error()
        question, answer = self.question, None
        # No single flight: a stream has one consumer, who closes it.
        started_at = await self._acquire_permit(question, self._ensure_permit())
        try:
            # Without aclosing, a generator would run until it is garbage-collected, although the client has left.
            async with aclosing(self.pipeline.answerer.stream(question)) as events:  # type: ignore[type-var] # generators have aclose
                async for event in events:
                    yield event
                    answer = event if isinstance(event, Answer) else answer
            if answer is None:
                raise TypeError("the stream ended without an Answer")  # noqa: TRY301 - counts as a failure of the code
        except BaseException as error:
            self._record_error(question, error, started_at)
            raise
        question.stages.answerer = seconds = perf_counter() - started_at
        self.pipeline.record_outcome("answered", seconds)
        if self.cache_key is not None:
            self._store(answer)

    def _start_shared_call(self) -> Coroutine[Any, Any, Answer]:
        """Return the call of the answerer for all requests with this key; it takes over the permit.

        Its deadline is the server's and not that of this request, because requests that join later have later
        deadlines. Single flight cancels the call when its last waiter leaves.
        """
        self.pipeline.pending_keys.discard(self.cache_key or ("", "", ""))
        # The call owns the permit from here on: this client may leave while others still wait for the answer.
        self.shared_call_permit, self.permit = self._ensure_permit(), None
        max_deadline = self.pipeline.max_deadline
        deadline = None if max_deadline == math.inf else self.question.received_at + max_deadline
        return self._get_from_redis_or_call(
            msgspec.structs.replace(self.question, deadline=deadline), self.shared_call_permit
        )

    def _release_shared_call_permit(self) -> None:
        """Release the permit after the shared call, even if the call was cancelled before its coroutine started."""
        if self.shared_call_permit is not None:
            self.shared_call_permit.release()

    def _ensure_permit(self) -> Permit:
        """Return the permit; get one for a request that meant to join a call which has ended. Raises Overloaded."""
        self.permit = self.permit or self.pipeline.admit(self.question.received_at)
        return self.permit

    async def _get_from_redis_or_call(self, question: Question, permit: Permit | None) -> Answer:
        # Redis comes before the queue, because an answer of another replica needs no slot.
        if self.cache_key is not None and (shared_answer := await self._get_from_redis()) is not None:
            return shared_answer
        started_at = await self._acquire_permit(question, permit or self._ensure_permit())
        try:
            answer = await self.pipeline.answerer.answer(question)
        except BaseException as error:
            self._record_error(question, error, started_at)
            raise
        question.stages.answerer = seconds = perf_counter() - started_at
        self.pipeline.record_outcome("answered", seconds)
        if self.cache_key is not None:
            self._store(answer)
        return answer

    async def _acquire_permit(self, question: Question, permit: Permit) -> float:
        """Wait for a slot. Returns when the call starts (`time.perf_counter`). Raises DeadlineExceeded, Overloaded."""
        try:
            await permit.acquire(question.deadline)
        except TimeoutError:
            raise deadline_exceeded(question) from None
        # Counted from the arrival of the bytes, so that time before the event loop read them is visible.
        question.stages.queue = monotonic() - question.received_at
        # Answerers that use threads keep the permit until the thread has ended, even after a timeout.
        detach_permit_var.set(permit.detach)
        return perf_counter()

    def _record_error(self, question: Question, error: BaseException, started_at: float) -> None:
        """Record a call that raised an error.

        Exceptions other than Problem (which includes NoAnswer and Refused) are raised as AnswererFailed, so that
        clients see nothing internal.
        """
        question.stages.answerer = seconds = perf_counter() - started_at
        failed = _is_failure(error)
        self.pipeline.record_outcome("failed" if failed else _classify_outcome(error), seconds)
        if failed:
            raise AnswererFailed from error
        if isinstance(error, NoAnswer):
            self._store(error)

    async def _get_from_redis(self) -> Answer | None:
        shared_cache, key, cache = self.pipeline.shared_cache, self.cache_key, self.pipeline.cache
        if shared_cache is None or key is None or self.cache_directives.no_cache:
            return None
        answer = await shared_cache.get(key)
        # With a TTL the copy would live too long, because `RedisCache.get` does not return the age of the answer.
        if answer is not None and cache.ttl is None:
            self.stored = cache.put(key, answer)
        return answer

    def _store(self, result: Answer | NoAnswer) -> None:
        key, cache, shared_cache = self.cache_key, self.pipeline.cache, self.pipeline.shared_cache
        # If a reload changed the version during the call, the answer belongs to neither version.
        if key is None or self.cache_directives.no_store or self.pipeline.answerer.version != key[0]:
            return
        if isinstance(result, NoAnswer):
            self.stored = cache.put_no_answer(key, result)
            return
        self.stored = cache.put(key, result)
        if shared_cache is not None:
            shared_cache.put(key, result, cache.ttl)


class Pipeline:
    """Passes questions through the guards to one answerer.

    Args:
        answerer: Answers the questions.
        cache: Answers of this replica.
        single_flight: Calls in flight that other requests may join.
        limiter: Bounds the calls in flight.
        record_outcome: Called once for each call of the answerer.
        deterministic: Overrides `Answerer.deterministic`; None keeps it.
        shared_cache: Answers of all replicas. None without Redis.
        max_deadline: The server's own limit for an answer, in seconds from the arrival of the request.
    """

    def __init__(
        self,
        answerer: Answerer,
        *,
        cache: AnswerCache,
        single_flight: SingleFlight[Answer],
        limiter: ConcurrencyLimiter,
        record_outcome: OutcomeRecorder,
        deterministic: bool | None,
        shared_cache: RedisCache | None = None,
        max_deadline: float = math.inf,
    ) -> None:
        self.answerer = answerer
        self.cache = cache
        self.single_flight = single_flight
        self.limiter = limiter
        self.shared_cache = shared_cache
        self.record_outcome = record_outcome
        self.max_deadline = max_deadline
        self.deadline_timers = DeadlineTimers()
        self.pending_keys: set[CacheKey] = set()
        """Keys of admitted requests that have not started their call yet.

        Later requests with the same key wait for it.
        """
        self._deterministic = deterministic
        self._has_immediate_answers = type(answerer).try_immediate is not Answerer.try_immediate

    def admit(self, received_at: float) -> Permit:
        """Return a permit for a request that arrived at `received_at` (`time.monotonic`). Raises Overloaded."""
        permit = self.limiter.admit(received_at)
        if permit is None:
            raise Overloaded(jittered_retry_after())
        return permit

    @property
    def deterministic(self) -> bool:
        """Whether answers may be cached and have an ETag: the setting, or else the declaration of the answerer."""
        return self.answerer.deterministic if self._deterministic is None else self._deterministic

    @property
    def can_admit_before_parsing(self) -> bool:
        """Whether a request may be admitted or shed before it is parsed, because no answer is ever immediate."""
        return not self._has_immediate_answers and not self.deterministic

    def begin(
        self, question: Question, cache_directives: CacheDirectives = NO_DIRECTIVES, *, permit: Permit | None = None
    ) -> "Execution":
        """Start the execution of a question: immediate answer, cache, admission. Use the result as a context manager.

        Args:
            question: The question.
            cache_directives: `Cache-Control` directives of the request.
            permit: The permit, if the request was admitted before. If None, one is acquired when needed.

        Raises:
            Overloaded: The request was shed.
            NotCached: The request has `only-if-cached`, and the answer is not cached.
        """
        execution = Execution(self, question, cache_directives)
        # Not in a conversation, because its history affects the answer.
        execution.cacheable = self.deterministic and question.thread_id is None and not question.history
        # Immediate answers are not cached: they cost no more than the lookup of a cached answer.
        if self._has_immediate_answers:
            execution.immediate = self.answerer.try_immediate(question)
            if execution.immediate is not None:
                return execution
        joins_call = execution.cacheable and self._look_up_or_join(execution)
        if execution.cache_hit is not None or joins_call:
            return execution
        # RFC 9111, 5.2.1.7: a client that only wants a cached answer must not cause a call.
        if cache_directives.only_if_cached:
            raise NotCached
        # Before the first await, so that each request of a burst sees the ones before it in the length of the queue.
        execution.permit = permit or self.admit(question.received_at)
        if execution.cache_key is not None:
            self.pending_keys.add(execution.cache_key)
        return execution

    def _look_up_or_join(self, execution: "Execution") -> bool:
        """Look up the cached answer. Return True if there is none and the execution joins a call in flight."""
        started_at = perf_counter()
        execution.cache_key = key = self.make_cache_key(execution.question)
        directives = execution.cache_directives
        lookup = self.cache.record_bypass() if directives.no_cache else self.cache.get(key, directives.max_age)
        execution.question.stages.cache = perf_counter() - started_at
        if isinstance(lookup, CacheHit):
            execution.cache_hit, execution.immediate = lookup, lookup.answer
            return False
        execution.miss_reason = lookup
        return not directives.only_if_cached and (key in self.pending_keys or self.single_flight.is_in_flight(key))

    def make_cache_key(self, question: Question) -> CacheKey:
        """Return the cache key.

        It has the version from before the call, so an answer of the old code is never served after a reload.
        """
        # repr() quotes names and values, so that two different sets of parameters never get the same key.
        parameters = question.parameters
        return self.answerer.version, question.text, repr(sorted(parameters.items())) if parameters else ""


def _is_failure(error: BaseException) -> bool:
    """Whether the answerer failed. A CancelledError that it raised without being cancelled is a failure, too."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return isinstance(error, Exception) and not isinstance(error, Problem)


def _classify_outcome(error: BaseException) -> str:
    if isinstance(error, NoAnswer):
        return "no_answer"
    if isinstance(error, Refused):
        return "refused"
    if isinstance(error, Interrupted):
        return "interrupted"
    # GeneratorExit: the consumer closed the stream because the client has left.
    return "cancelled" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "failed"
