"""Statistics of the concurrency limiter."""

import msgspec


class ConcurrencyLimiterStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Current state and totals since the start. Each shed request is counted under exactly one reason."""

    limit: int
    """Number of slots."""
    seconds_since_resize: float
    """Seconds since the limit last changed."""
    in_flight: int
    """Slots in use, including those held by detached calls."""
    waiting: int
    """Admitted requests that have no slot yet."""
    queue_limit: int
    """Maximum number of queued requests now: the configured queue size, or less while there is a standing queue."""
    detached: int
    """Slots held by code that still runs although its caller has left."""
    admitted: int
    shed_queue_full: int
    """Requests shed because the queue was full."""
    shed_overloaded: int
    """Requests shed because the queue delay stayed above the target."""
    shed_late: int
    """Requests that were admitted, but whose deadline passed before they got a slot."""
    in_flight_seconds: float
    """Integral of slots in use over time. Monotonic; its rate is the mean number in flight (Little's law)."""
    started: int
    """Requests that got a slot and started the answerer."""
    queue_delay_seconds: float
    """Total queue delay of the started requests, from arrival to the start of the answerer."""
