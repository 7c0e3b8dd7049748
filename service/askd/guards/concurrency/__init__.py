"""Concurrency limiter: a bounded number of calls in flight, a short queue in front of it, and load shedding.

    request ── admit() ──▶ queue ── acquire() ──▶ slot: the answerer runs ── release() ──▶ slot is free
                  └─ shed: 503             └─ TimeoutError: deadline passed in the queue

**Slots** (`permits.py`). Code that uses the CPU without awaiting acquires and releases its slot within one step of its
task, so hundreds of such calls could run before the event loop polls its sockets again. A slot is therefore released
immediately only until calls have run for `IMMEDIATE_RELEASE_SECONDS` (1 ms) in this loop iteration, and at the end of
the iteration after that. At most `limit` longer calls run in one iteration, and new requests are accepted or shed
between iterations.

**Queue** (`codel.py`). Controlled delay: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012, and
RFC 8289; for servers, folly's `Codel` and Maurer, "Fail at Scale", ACM Queue 13(8), 2015. The queue delay of a request
runs from the arrival of its bytes to the start of the answerer. A burst makes a queue that drains again, so the
smallest delay of a 100 ms interval is short. If even the smallest delay exceeds the target, there is a standing queue,
which only adds latency: from then on the queue is bounded by the number of calls that start within the target delay
(Little's law: number = rate * delay), until it has run empty and no request was shed for 500 ms. CoDel drops from the
queue; this limiter rejects on arrival, where rejecting is cheapest, and serves admitted requests in order.

**Limit** (`adaptive.py`). Additive increase, multiplicative decrease (Chiu and Jain, 1989), with TCP's slow start
(RFC 5681) and the binary search between the last two bounds of BIC (Xu, Harfoush and Rhee, 2004). The signal is
event-loop lag, with folly's target of 5 ms, and not call latency, which cannot distinguish code that waits from a busy
loop. While the loop is on time, calls only wait and more may run; when it is nearly always late, the CPU is saturated
or threads contend for the interpreter, and more calls only make each of them slower. Time without a CPU (`cpu_wait.py`)
is not lag. In slow start requests queue for the slots that are about to be added, so that a new process sheds none.

The limiter does no I/O: clock, CPU time, CPU wait and `call_soon` are injected. It belongs to one event loop;
docstrings name the parts that are safe from other threads. `tests/support/simulated_server.py` runs it in a simulated
process, and docs/explanation/overload.md shows the resulting traces.
"""

from askd.guards.concurrency.adaptive import sample_loop_lag
from askd.guards.concurrency.limiter import ConcurrencyLimiter
from askd.guards.concurrency.limiter_statistics import ConcurrencyLimiterStatistics
from askd.guards.concurrency.permits import Permit, jittered_retry_after

__all__ = ["ConcurrencyLimiter", "ConcurrencyLimiterStatistics", "Permit", "jittered_retry_after", "sample_loop_lag"]
