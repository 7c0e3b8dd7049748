"""The cache: bounded in bytes, least recently used out first."""

from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.guards.cache import OVERHEAD, Cache
from service.models import Answer

CAPACITY = 20 * OVERHEAD
KEYS = st.integers(0, 30)


class Model(RuleBasedStateMachine):
    """The cache against a plain list of what was used last."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache(CAPACITY)
        self.kept: OrderedDict[int, tuple[Answer, int]] = OrderedDict()
        self.hits = self.misses = 0

    @rule(key=KEYS, size=st.integers(0, 3 * OVERHEAD))
    def put(self, key: int, size: int) -> None:
        """Keep an answer; the least recently used ones make room."""
        answer = Answer(str(key), {"size": size})
        self.cache.put(key, answer, size)
        if size + OVERHEAD > CAPACITY // 10:
            return
        self.kept.pop(key, None)
        self.kept[key] = (answer, size + OVERHEAD)
        while sum(taken for _, taken in self.kept.values()) > CAPACITY:
            self.kept.popitem(last=False)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        """Look an answer up; it counts as used."""
        found = self.cache.get(key)
        if key in self.kept:
            self.kept.move_to_end(key)
            self.hits += 1
            assert found is self.kept[key][0]
        else:
            self.misses += 1
            assert found is None

    @invariant()
    def bounded_and_counted(self) -> None:
        """The sizes add up, and never exceed the capacity."""
        seen = self.cache.statistics()
        assert seen.size == sum(taken for _, taken in self.kept.values()) <= seen.capacity == CAPACITY
        assert (seen.hits, seen.misses, seen.entries) == (self.hits, self.misses, len(self.kept))
        assert list(self.cache._entries) == list(self.kept)


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestModel = Model.TestCase


@pytest.mark.parametrize("capacity", [0, 1, 9 * OVERHEAD])
def test_a_cache_too_small_keeps_nothing(capacity: int) -> None:
    """A capacity of 0, or one whose tenth holds no entry, turns the cache off."""
    cache = Cache(capacity)
    cache.put("key", Answer("a"), 1)
    assert (cache.get("key"), cache.statistics().size) == (None, 0)


def test_a_large_answer_does_not_sweep_the_others_out() -> None:
    """An answer over a tenth of the capacity is not kept, and costs the others nothing."""
    cache = Cache(CAPACITY)
    cache.put("small", Answer("a"), 10)
    cache.put("large", Answer("b"), CAPACITY // 10)
    assert (cache.get("small"), cache.get("large")) == (Answer("a"), None)
