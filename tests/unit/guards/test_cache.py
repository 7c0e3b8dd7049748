"""The cache: bounded in bytes and in time, least recently used out first; no-answers apart, and briefly."""

import gc
import json
import math
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.errors import NoAnswer
from service.guards.cache import NO_ANSWER_TTL, OVERHEAD, SHARE, Cache, Kept, Missed
from service.guards.weight import weight
from service.models import Answer
from tests.fakes import Clock

TTL = 2 * NO_ANSWER_TTL
CAPACITY = 20 * OVERHEAD * 3
KEYS = st.integers(0, 30)


class Model(RuleBasedStateMachine):
    """The cache against plain dicts of what was used last."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.cache = Cache(CAPACITY, ttl=TTL, clock=self.clock)
        self.answers: OrderedDict[int, tuple[Answer | tuple[str, ...], float, int]] = OrderedDict()
        self.others: OrderedDict[int, tuple[Answer | tuple[str, ...], float, int]] = OrderedDict()
        self.hits = self.misses = self.expired = self.bypassed = self.evicted = 0

    @rule(key=KEYS, length=st.integers(0, 4 * OVERHEAD))
    def put(self, key: int, length: int) -> None:
        """Keep an answer; the least recently used ones make room."""
        answer = Answer("a" * length)
        self._keep(self.answers, key, answer, kept=self.cache.put(key, answer))

    @rule(key=KEYS, length=st.integers(0, OVERHEAD))
    def put_no_answer(self, key: int, length: int) -> None:
        """Keep that there is none; older ones of these make room first."""
        error = NoAnswer(["a" * length])
        self._keep(self.others, key, ("a" * length,), kept=self.cache.put_no_answer(key, error))

    @rule(key=KEYS, max_age=st.sampled_from([math.inf, math.inf, 0.0, 1.0]))
    def get(self, key: int, max_age: float) -> None:
        """Look it up; an answer counts as used, a no-answer does not."""
        found = self.cache.get(key, max_age)
        shelf, life = (self.answers, TTL) if key in self.answers else (self.others, NO_ANSWER_TTL)
        if key not in shelf:
            self.misses += 1
            assert found is Missed.ABSENT
            return
        what, since, _ = shelf[key]
        age = self.clock.now - since
        if age >= life:
            del shelf[key]
            self.expired += 1
            assert found is Missed.EXPIRED
        elif age > max_age:
            self.bypassed += 1
            assert found is Missed.UNWANTED
        else:
            self.hits += 1
            assert isinstance(found, Kept)
            assert (found.answer or found.suggestions, found.age, found.ttl) == (what, age, life - age)
            if shelf is self.answers:
                shelf.move_to_end(key)

    @rule(seconds=st.integers(1, 4))
    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @invariant()
    def bounded_and_counted(self) -> None:
        """The sizes add up and are never over the capacity, nor those of no-answers over their share."""
        seen = self.cache.statistics()
        sizes = [sum(size for _, _, size in shelf.values()) for shelf in (self.answers, self.others)]
        assert seen.size == sum(sizes) <= seen.capacity == CAPACITY
        assert sizes[1] <= CAPACITY // SHARE
        assert seen.entries == len(self.answers) + len(self.others)
        counted = (seen.hits, seen.misses, seen.expired, seen.bypassed, seen.evicted)
        assert counted == (self.hits, self.misses, self.expired, self.bypassed, self.evicted)
        assert list(self.cache._answers.entries) == list(self.answers)
        assert list(self.cache._no_answers.entries) == list(self.others)

    def _keep(
        self,
        shelf: OrderedDict[int, tuple[Answer | tuple[str, ...], float, int]],
        key: int,
        what: Answer | tuple[str, ...],
        *,
        kept: bool,
    ) -> None:
        self.answers.pop(key, None)
        self.others.pop(key, None)
        size = OVERHEAD + weight((key, what))
        assert kept == (size <= CAPACITY // SHARE)
        if not kept:
            return
        shelf[key] = (what, self.clock.now, size)
        while sum(size for _, _, size in self.others.values()) > CAPACITY // SHARE or self._first_is_over():
            self._pop(self.others, NO_ANSWER_TTL)
        while sum(size for shelf in (self.answers, self.others) for _, _, size in shelf.values()) > CAPACITY:
            self._pop(self.answers, TTL)

    def _first_is_over(self) -> bool:
        since = [since for _, since, _ in self.others.values()]
        return bool(since) and self.clock.now - since[0] >= NO_ANSWER_TTL

    def _pop(self, shelf: OrderedDict[int, tuple[Answer | tuple[str, ...], float, int]], life: float) -> None:
        _, (_, since, _) = shelf.popitem(last=False)
        self.evicted += self.clock.now - since < life


Model.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestModel = Model.TestCase


@pytest.mark.parametrize("capacity", [0, 1, 9 * OVERHEAD])
def test_a_cache_too_small_keeps_nothing(capacity: int) -> None:
    """A capacity of 0, or one whose tenth holds no entry, turns the cache off."""
    cache = Cache(capacity)
    assert not cache.put("key", Answer("a"))
    assert not cache.put_no_answer("key", NoAnswer())
    found, seen = cache.get("key"), cache.statistics()
    assert (found, seen.misses, seen.size) == ((Missed.OFF, 0, 0) if capacity == 0 else (Missed.ABSENT, 1, 0))
    assert cache.on == (capacity > 0)


def test_a_cache_that_is_off_counts_nothing() -> None:
    """Neither look-ups nor those who go round it are counted where there is nothing to look at."""
    cache = Cache(0)
    assert [cache.get("key"), cache.bypass()] == [Missed.OFF, Missed.OFF]
    assert (cache.statistics().misses, cache.statistics().bypassed) == (0, 0)


def test_a_large_answer_does_not_sweep_the_others_out() -> None:
    """An answer over a tenth of the capacity is not kept, costs the others nothing, and replaces what was there."""
    cache = Cache(CAPACITY)
    cache.put("small", Answer("a"))
    cache.put("large", Answer("b"))
    assert not cache.put("large", Answer("b" * (CAPACITY // SHARE)))
    assert isinstance(cache.get("small"), Kept)
    assert cache.get("large") is Missed.ABSENT


def found(cache: Cache, key: object) -> Answer | tuple[str, ...] | Missed:
    """Return the answer, the suggestions where there is known to be none, or why there is nothing."""
    kept = cache.get(key)
    if isinstance(kept, Missed):
        return kept
    return kept.suggestions if kept.answer is None else kept.answer


def test_an_answer_without_ttl_has_no_end() -> None:
    """It gets older, and is given all the same."""
    clock = Clock()
    cache = Cache(1 << 20, clock=clock)
    cache.put("key", Answer("a"))
    clock.advance(1e9)
    kept = cache.get("key")
    assert isinstance(kept, Kept)
    assert (kept.answer, kept.age, kept.ttl) == (Answer("a"), 1e9, None)


def test_an_answer_ends_at_its_ttl_and_begins_anew_when_it_is_put() -> None:
    """It is given before the TTL, not at it; one that is put again has a new age."""
    clock = Clock()
    cache = Cache(1 << 20, ttl=10.0, clock=clock)
    cache.put("key", Answer("a"))
    clock.advance(9.0)
    assert found(cache, "key") == Answer("a")
    clock.advance(1.0)
    assert [found(cache, "key"), found(cache, "key")] == [Missed.EXPIRED, Missed.ABSENT]
    cache.put("key", Answer("b"))
    clock.advance(9.0)
    assert found(cache, "key") == Answer("b")
    assert cache.statistics().expired == 1


def test_the_same_answer_is_given_again_while_it_is_kept() -> None:
    """`again` finds this very answer, as a hit, until its TTL ends or another is kept; no miss is counted."""
    clock = Clock()
    cache, answer = Cache(10_000, ttl=10.0, clock=clock), Answer("a")
    assert cache.again("q", answer) is None
    cache.put("q", answer)
    clock.now += 4.0
    kept = cache.again("q", answer)
    assert kept is not None
    assert (kept.answer, kept.age, kept.ttl) == (answer, 4.0, 6.0)
    assert cache.again("q", Answer("a")) is None
    clock.now += 6.0
    assert cache.again("q", answer) is None
    statistics = cache.statistics()
    assert (statistics.hits, statistics.misses, statistics.expired, statistics.bypassed) == (1, 0, 0, 0)


@pytest.mark.parametrize(("ttl", "life"), [(None, NO_ANSWER_TTL), (3600.0, NO_ANSWER_TTL), (1.0, 1.0)])
def test_a_no_answer_is_kept_briefly(ttl: float | None, life: float) -> None:
    """It comes back with its suggestions, as a new error each time, for a few seconds and never for longer than TTL."""
    clock = Clock()
    cache = Cache(1 << 20, ttl=ttl, clock=clock)
    assert cache.put_no_answer("key", NoAnswer(["What is a port?"]))
    kept = cache.get("key")
    assert isinstance(kept, Kept)
    assert (kept.answer, kept.ttl) == (None, life)
    first, second = kept.no_answer(), kept.no_answer()
    assert first is not second
    assert first.members == second.members == NoAnswer(["What is a port?"]).members
    clock.advance(life)
    assert cache.get("key") is Missed.EXPIRED


def test_an_error_that_may_say_more_is_not_kept() -> None:
    """A subclass of NoAnswer would not come back as itself."""

    class Stranger(NoAnswer):
        """Has something to add."""

    cache = Cache(1 << 20)
    assert not cache.put_no_answer("key", Stranger())
    assert cache.get("key") is Missed.ABSENT


def test_the_last_word_counts() -> None:
    """An answer takes the place of a no-answer, and the other way round."""
    cache = Cache(1 << 20)
    seen = []
    for what in (NoAnswer(["b"]), Answer("a"), NoAnswer(["c"])):
        assert cache.put("key", what) if isinstance(what, Answer) else cache.put_no_answer("key", what)
        seen.append((found(cache, "key"), cache.statistics().entries))
    assert seen == [(("b",), 1), (Answer("a"), 1), (("c",), 1)]


def test_endless_questions_without_answer_leave_the_answers_alone() -> None:
    """No-answers take a tenth of the room at most; what they push out is one another."""
    cache = Cache(100 * OVERHEAD * 2)
    for number in range(60):
        cache.put(number, Answer("a"))
    before = cache.statistics()
    for number in range(10_000):
        cache.put_no_answer(f"no {number}", NoAnswer())
    seen = cache.statistics()
    assert all(found(cache, key) == Answer("a") for key in range(60))
    assert seen.size - before.size <= seen.capacity // SHARE


def test_no_answers_whose_time_is_over_give_their_room_back() -> None:
    """What is put next clears them away, without counting them as pushed out."""
    clock = Clock()
    cache = Cache(1 << 20, clock=clock)
    for number in range(100):
        cache.put_no_answer(number, NoAnswer())
    clock.advance(NO_ANSWER_TTL)
    cache.put("key", Answer("a"))
    assert (cache.statistics().entries, cache.statistics().evicted) == (1, 0)


def test_what_the_client_does_not_want_stays_for_others() -> None:
    """An answer older than the client takes is passed by and counted so; one of just that age is given."""
    clock = Clock()
    cache = Cache(1 << 20, clock=clock)
    cache.put("key", Answer("a"))
    clock.advance(2.0)
    assert [cache.get("key", 1.0), cache.bypass()] == [Missed.UNWANTED, Missed.UNWANTED]
    assert isinstance(cache.get("key", 2.0), Kept)
    assert (cache.statistics().bypassed, cache.statistics().hits) == (2, 1)


def short(number: int) -> tuple[object, Answer]:
    """A question and an answer of a few words."""
    return ("v1", f"question {number}", ""), Answer(f"answer {number}")


def long(number: int) -> tuple[object, Answer]:
    """An answer of some pages, in characters of two bytes each."""
    return ("v1", f"question {number}", ""), Answer(f"{number} Ω " * 1000)


def with_fields(number: int) -> tuple[object, Answer]:
    """An answer with fields, as a function or a server gives them."""
    sources = [{"title": f"t {number} {part}", "rank": part + 1000 * number} for part in range(5)]
    fields = json.loads(json.dumps({"score": number / 7, "sources": sources, "sure": True}))
    return ("v1", f"question {number}", "[('lang', 'de')]"), Answer(f"answer {number}", fields)


class Source:
    """A class of the user's own."""

    def __init__(self, number: int) -> None:
        self.title = f"title {number}"
        self.score = number / 7


def with_objects(number: int) -> tuple[object, Answer]:
    """An answer with objects of the user's own."""
    sources = [Source(100 * number + part) for part in range(10)]
    return ("v1", f"question {number}", ""), Answer(f"answer {number}", {"sources": sources})


@pytest.mark.parametrize("make", [short, long, with_fields, with_objects])
def test_bytes_are_counted_honestly(make: Callable[[int], tuple[object, Answer]]) -> None:
    """What a full cache takes of memory, as the interpreter counts it, is its size, give or take the shared parts."""
    cache = Cache(4 << 20)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        shares = []
        for number in range(200_000):
            cache.put(*make(number))
            if number % 97 == 0:
                shares.append((tracemalloc.get_traced_memory()[0] - before) / cache.statistics().size)
            if cache.statistics().evicted > 2000:
                break
        assert cache.statistics().size > 0.9 * (4 << 20)
        assert max(shares[1:]) < 1.1
        assert shares[-1] > 0.6
    finally:
        tracemalloc.stop()
