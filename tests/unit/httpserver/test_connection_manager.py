"""The guard over connections, in time that the test owns, with connections that are mere records."""

import dataclasses

import pytest

from service.guards import connections
from service.guards.connections import BATCH, GRACE, Connections, Limits, Reason
from tests.fakes import Clock

LIMITS = Limits(most=3, header=10.0, write=20.0, keepalive=75.0, age=300.0)


@dataclasses.dataclass(eq=False)
class Record:
    """A connection as the guard sees it; notes how it was ended."""

    head: float | None = None
    asked: bool = False
    busy: bool = False
    closing: bool = False
    sent: int = 0
    unsent: int = 0
    due: float | None = None
    opened: float = 0.0
    ends: float = 0.0
    free: float | None = None
    last: Reason | None = None
    taken: int = 0
    stuck: float | None = None
    ended: list[Reason] = dataclasses.field(default_factory=list)

    def end(self, reason: Reason) -> None:
        """Take note."""
        self.ended.append(reason)


class Scene:
    """A guard, its clock, and connections that came to it."""

    def __init__(self, limits: Limits = LIMITS, chance: float = 0.5) -> None:
        self.clock = Clock()
        self.guard = Connections(limits, clock=self.clock, chance=lambda: chance)

    def open(self, **state: object) -> Record:
        """Let one come, and then be as told."""
        line = Record()
        assert self.guard.opened(line)
        return self.be(line, **state)

    def be(self, line: Record, **state: object) -> Record:
        """Let a connection be as told."""
        for name, value in state.items():
            setattr(line, name, value)
        return line

    def after(self, seconds: float) -> None:
        """Let so much time pass in steps as the server sweeps, or finer."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)
            self.guard.sweep()


def lasts(scene: Scene, line: Record, seconds: float, reason: Reason) -> None:
    """Check that a connection is ended after so many seconds, not before, for this reason."""
    scene.after(seconds - 0.25)
    assert line.ended == []
    scene.after(0.25)
    assert line.ended[:1] == [reason]


def test_who_says_nothing_is_closed() -> None:
    """A new connection has the header time-out to begin, not the longer time of an idle one."""
    scene = Scene()
    lasts(scene, scene.open(), 10.0, Reason.HEADER_TIMEOUT)


def test_who_drips_headers_is_closed() -> None:
    """The headers' time runs from their first byte, on a new connection and on a used one."""
    scene = Scene()
    scene.after(5.0)
    new, used = scene.open(head=scene.clock.now), scene.open(asked=True)
    scene.after(30.0)
    assert (new.ended[:1], used.ended) == ([Reason.HEADER_TIMEOUT], [])
    scene.be(used, head=scene.clock.now)
    lasts(scene, used, 10.0, Reason.HEADER_TIMEOUT)


def test_headers_that_began_behind_an_exchange_have_their_whole_time() -> None:
    """Nobody is ended in an exchange for the next request's headers, whose time runs from the exchange's end."""
    scene = Scene()
    line = scene.open(asked=True, busy=True, head=scene.clock.now)
    scene.after(60.0)
    scene.be(line, busy=False)
    lasts(scene, line, 10.25, Reason.HEADER_TIMEOUT)  # the sweep sees the end up to a quarter of a second late


def test_idle_connections_are_closed() -> None:
    """The keep-alive time runs from the end of the last exchange, and anew after each."""
    scene = Scene()
    line = scene.open(asked=True)
    for _ in range(3):
        scene.after(74.0)
        scene.be(line, busy=True, free=None)
        scene.after(100.0)
        scene.be(line, busy=False)
    lasts(scene, line, 75.25, Reason.IDLE)


def test_an_exchange_between_two_sweeps_counts() -> None:
    """Whoever begins an exchange clears `free`: that is enough, though no sweep ever sees the exchange."""
    scene = Scene()
    line = scene.open(asked=True)
    for _ in range(5):
        scene.after(60.0)
        scene.be(line, free=None)
    assert line.ended == []
    lasts(scene, line, 75.25, Reason.IDLE)


def test_busy_connections_have_no_time_of_their_own() -> None:
    """An exchange may take as long as it is allowed to: an hour, where nothing is due."""
    scene = Scene()
    line = scene.open(asked=True, busy=True)
    scene.after(3600.0)
    assert line.ended == []


def test_who_takes_nothing_is_closed() -> None:
    """Bytes that wait for a client which takes none of them for the write time-out end the connection."""
    scene = Scene()
    line = scene.open(asked=True, busy=True, sent=1000, unsent=600)
    lasts(scene, line, 20.25, Reason.WRITE_TIMEOUT)


def test_who_takes_slowly_is_not_closed() -> None:
    """A client that takes some now and then makes progress, also while more and more waits for it."""
    scene = Scene()
    line = scene.open(asked=True, busy=True, sent=1000, unsent=600)
    for _ in range(20):
        scene.after(19.0)
        scene.be(line, sent=line.sent + 50, unsent=line.unsent + 49)
    assert line.ended == []
    scene.be(line, sent=line.sent + 5000, unsent=line.unsent + 5000)  # more is written, none is taken
    scene.after(21.0)
    assert line.ended[0] is Reason.WRITE_TIMEOUT


def test_stalls_do_not_add_up() -> None:
    """Each time that all has been taken, the write time-out begins anew."""
    scene = Scene()
    line = scene.open(asked=True, busy=True)
    for _ in range(4):
        scene.be(line, sent=line.sent + 1000, unsent=1000)
        scene.after(15.0)
        scene.be(line, unsent=0)
        scene.after(1.0)
    assert line.ended == []


def test_a_connection_with_unsent_bytes_is_not_idle() -> None:
    """The keep-alive time begins when the client has taken all of its answer."""
    scene = Scene(Limits(write=100.0, keepalive=5.0))
    line = scene.open(asked=True, sent=1000, unsent=1000)
    scene.after(50.0)
    scene.be(line, unsent=0)
    lasts(scene, line, 5.25, Reason.IDLE)


@pytest.mark.parametrize("state", [{"busy": True}, {"unsent": 10, "sent": 10}])
def test_what_is_overdue_is_ended(state: dict[str, object]) -> None:
    """An exchange or its unsent bytes end a grace after their due time, whatever the code or the client does."""
    scene = Scene()
    line = scene.open(asked=True, due=scene.clock.now + 5.0, **state)
    scene.after(5.0 + GRACE)
    assert line.ended == []
    scene.after(0.25)
    assert line.ended == [Reason.DEADLINE]


def test_due_ends_with_its_exchange() -> None:
    """A due time is forgotten when its exchange is over and sent: the next one does not suffer from it."""
    scene = Scene()
    line = scene.open(asked=True, busy=True, due=scene.clock.now + 5.0)
    scene.after(4.0)
    scene.be(line, busy=False)
    scene.after(0.25)
    assert line.due is None
    scene.be(line, busy=True, free=None)
    scene.after(60.0)
    assert line.ended == []


@pytest.mark.parametrize(("chance", "age"), [(0.0, 270.0), (0.5, 300.0), (1.0, 330.0)])
def test_old_connections_end_with_an_answer(chance: float, age: float) -> None:
    """An age that differs by chance makes the next answer the last; the connection is not closed for it."""
    scene = Scene(chance=chance)
    line = scene.open(asked=True, busy=True)
    scene.after(age - 0.25)
    before = line.last
    scene.after(0.25)
    assert (before, line.last, line.ended) == (None, Reason.AGE, [])


def test_age_can_be_off() -> None:
    """With an age of 0, no connection gets too old."""
    scene = Scene(Limits(age=0.0))
    line = scene.open(asked=True, busy=True)
    scene.after(3600.0)
    assert line.last is None


def test_draining_makes_every_next_answer_the_last() -> None:
    """Open and new connections end with their next answer; a reason that stood before gives way."""
    scene = Scene()
    before = scene.open(asked=True, last=Reason.AGE)
    scene.guard.drain()
    assert (before.last, scene.open().last) == (Reason.DRAIN, Reason.DRAIN)


def test_what_does_not_manage_to_close_is_ended_again() -> None:
    """A closing connection with nothing unsent has two seconds; one that takes nothing, the write time-out."""
    scene = Scene()
    quiet = scene.open(asked=True, closing=True)
    full = scene.open(asked=True, closing=True, sent=10, unsent=10)
    scene.after(1.75)
    assert quiet.ended == []
    scene.after(0.5)
    assert (quiet.ended[:1], full.ended) == ([Reason.WRITE_TIMEOUT], [])
    scene.after(18.25)
    assert full.ended[:1] == [Reason.WRITE_TIMEOUT]


def test_who_was_told_to_close_is_looked_at_again() -> None:
    """After an end that is a mere closing, the time for it begins then, not when the connection became idle."""
    scene = Scene()
    line = scene.open(asked=True)
    lasts(scene, line, 75.0, Reason.IDLE)
    scene.be(line, closing=True)
    scene.after(2.0)
    assert line.ended == [Reason.IDLE]
    scene.after(0.25)
    assert line.ended == [Reason.IDLE, Reason.WRITE_TIMEOUT]


def test_room_is_made_by_those_that_never_asked() -> None:
    """At the limit the oldest connection goes that has not asked a whole question, whatever it drips."""
    scene = Scene()
    good, dripping, silent = scene.open(asked=True), scene.open(busy=True), scene.open()
    scene.open()
    assert ([good.ended, silent.ended], dripping.ended) == ([[], []], [Reason.LIMIT])
    scene.open(asked=True)
    assert silent.ended == [Reason.LIMIT]
    assert scene.guard.statistics().open == 3


def test_then_by_those_that_are_idle_for_longest() -> None:
    """Where all have asked, the idle ones go, longest idle first; those with an exchange or unsent bytes stay."""
    scene = Scene(Limits(most=4))
    lines = []
    for _ in range(4):
        lines.append(scene.open(asked=True))
        scene.after(1.0)
    first, second, third, fourth = lines
    scene.be(first, free=None)  # it has just been used
    scene.be(second, busy=True, free=None)
    scene.be(third, sent=5, unsent=5)
    scene.after(0.25)
    scene.open(asked=True, busy=True)
    scene.open(asked=True, busy=True)
    assert [line.ended for line in lines] == [[Reason.LIMIT], [], [], [Reason.LIMIT]]
    assert fourth.ended


def test_whoever_asks_meanwhile_is_passed_over() -> None:
    """What was idle when it was looked for, and has been used since, is not closed for another."""
    scene = Scene(Limits(most=2))
    first = scene.open(asked=True)
    scene.after(1.0)
    second = scene.open(asked=True)
    scene.open(asked=True, busy=True)
    assert first.ended
    scene.be(second, busy=True, free=None)
    assert not scene.guard.opened(Record())
    assert second.ended == []


def test_where_nothing_can_go_the_new_one_is_refused() -> None:
    """When every connection has an exchange under way, there is no room; later there is."""
    scene = Scene()
    lines = [scene.open(asked=True, busy=True) for _ in range(3)]
    refused = Record()
    assert not scene.guard.opened(refused)
    scene.guard.closed(refused, Reason.CLIENT)
    statistics = scene.guard.statistics()
    assert (statistics.open, statistics.most, statistics.closed["refused"]) == (3, 3, 1)
    assert sum(statistics.closed.values()) == 1
    scene.be(lines[1], busy=False)
    scene.after(0.25)
    scene.open()
    assert lines[1].ended == [Reason.LIMIT]


def test_a_flood_does_not_search_for_each() -> None:
    """Where nothing idle was found, that is believed for a moment, however many come in it."""
    scene = Scene(Limits(most=1))
    line = scene.open(asked=True, busy=True)
    assert not scene.guard.opened(Record())
    scene.be(line, busy=False)
    assert not scene.guard.opened(Record())
    scene.clock.advance(connections.SCAN_PAUSE)
    assert scene.guard.opened(Record())


def test_each_end_is_counted_once() -> None:
    """Open connections, and ends by reason, add up to those that came."""
    scene = Scene()
    lines = [scene.open() for _ in range(5)]
    for line in lines:
        scene.guard.closed(line, Reason.CLIENT)
        scene.guard.closed(line, Reason.IDLE)
    statistics = scene.guard.statistics()
    assert statistics.open == 0
    assert {reason: count for reason, count in statistics.closed.items() if count} == {"client": 3, "limit": 2}
    assert set(statistics.closed) == {reason.value for reason in Reason}


def test_a_sweep_looks_at_so_many_at_once() -> None:
    """However many there are, one sweep looks at a bounded number, and the next goes on with the others."""
    scene = Scene(Limits(most=3 * BATCH))
    lines = [scene.open() for _ in range(2 * BATCH + 1)]
    scene.clock.advance(10.0)
    for seen in (BATCH, 2 * BATCH, 2 * BATCH + 1):
        scene.guard.sweep()
        assert sum(bool(line.ended) for line in lines) == seen
