"""The limiter: so many exchanges in the code at once, a short queue before it, and no to whatever is beyond.

    arrival ── admit ──▶ queue ── enter ──▶ a place: the code runs ── leave ──▶ the place is free again
                 └─ None: shed at once, 503     └─ past its deadline, or shed late at the end of a drain

**Places** (`places.py`). What is in flight does not show code that burns the CPU without awaiting: it takes its place
and gives it back within one step of its task, so that hundreds of such calls run before the loop looks at a socket
again. So a place is given back at once only until calls have run for `STEP` (1 ms); then at the end of the loop's
turn. At most `limit` longer calls run in one turn, and what arrives is seen, and shed, between turns.

**The queue** (`standing.py`) has a controlled delay: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5),
2012, and RFC 8289; for servers, folly's `Codel` and Maurer, "Fail at Scale", ACM Queue 13(8), 2015. A question's delay
runs from the arrival of its bytes to the start of its code. A burst makes a queue that goes away, as the smallest
delay of some 100 ms tells. Where even the smallest is over the budget the queue stands, which serves nobody: from then
on only so many may wait as begin within the budget (Little's law: number = rate * delay), until the queue has run
empty and nobody was turned away for 100 ms. CoDel drops from the queue; here, who has been admitted is served in
order, and the bound works at the door, where a no is cheapest.

**The limit** (`auto.py`) increases additively and decreases multiplicatively (Chiu and Jain, 1989), with TCP's slow
start and rounds (RFC 5681) and the search between the last two bounds of BIC (Xu, Harfoush and Rhee, 2004). It never
looks at how long calls take, in which code that waits and a loop that is busy look alike, but at how late the loop is
(`turns.py`), with folly's target of 5 ms. While it is on time, calls only wait, and more of them may; when it is late
nearly always, the CPU has more to do than it can, or threads fight for the interpreter, and more calls only make each
of them take longer.

Pure: the time, the end of a turn, and chance are injected. It belongs to one loop; where other threads may use a part
of it, that part says so. `tests/guards/simulation.py` runs it in a model of a whole process; docs/guards.md has the
traces.
"""

from service.guards.limiter.limiter import Limiter
from service.guards.limiter.statistics import LimiterStatistics, retry_after
from service.guards.limiter.ticket import Ticket
from service.guards.limiter.turns import watch

__all__ = ["Limiter", "LimiterStatistics", "Ticket", "retry_after", "watch"]
