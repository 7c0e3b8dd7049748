"""Ids, so that sampling is decided before there is a span: one that is not sampled costs a few µs otherwise."""

import threading
from typing import Final

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, ParentBasedTraceIdRatio, Sampler, TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags

from service.telemetry.exchange import CURRENT

_BY_PARENT: Final = (ParentBased, ParentBasedTraceIdRatio)
_random: Final = RandomIdGenerator()


class Ids(RandomIdGenerator):
    """Random ids; the next trace that this thread begins gets the id for which was decided that it is sampled."""

    def __init__(self) -> None:
        self._mine = threading.local()

    def decided(self, trace_id: int) -> None:
        """Give this id to the next trace."""
        self._mine.next = trace_id

    def generate_trace_id(self) -> int:
        """Return the id that was decided on, once, else a random one."""
        chosen: int = getattr(self._mine, "next", 0)
        self._mine.next = 0
        return chosen or super().generate_trace_id()


class Unsampled(NonRecordingSpan):
    """Stands for whichever exchange is the current one and not sampled: what its code begins is not sampled either.

    Most exchanges never ask for its ids, so they are made when they are asked for, and kept with the exchange.
    """

    def __init__(self) -> None:
        """Have no ids: they are the exchange's."""

    def get_span_context(self) -> SpanContext:
        """Return the exchange's ids, without the flag of what is sampled."""
        exchange = CURRENT.get()
        if exchange is None:
            return INVALID_SPAN_CONTEXT
        if exchange.unsampled is None:
            ids, flags = _random.generate_trace_id(), TraceFlags(TraceFlags.RANDOM_TRACE_ID)
            exchange.unsampled = SpanContext(ids, _random.generate_span_id(), is_remote=False, trace_flags=flags)
        found: SpanContext = exchange.unsampled
        return found

    def __repr__(self) -> str:
        return f"Unsampled({self.get_span_context()!r})"


def root_bound(sampler: Sampler) -> int | None:
    """Return what the low 64 bits of a trace's id must be below to be sampled where it has no parent; None: unknown.

    The SDK's own answer to that takes more time than all the rest of an exchange that is not sampled.
    """
    root = getattr(sampler, "_root", None) if type(sampler) in _BY_PARENT else sampler
    return root.bound if type(root) is TraceIdRatioBased else None
