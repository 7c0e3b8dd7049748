"""Description of a load: phases of steps, as sent to the generator process."""

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a phase.

    With a rate (requests per second) it is an open loop: requests are due at random times, independent of responses.
    Without one it is a closed loop: each connection sends the next request after a response.
    """

    seconds: float
    rate: float | None = None
    requests: int | None = None
    """Number of requests after which a closed loop ends; None disables the limit."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A load on one port of 127.0.0.1, with one request at a time on each connection."""

    port: int
    steps: list[Step]
    target: str = "/ask?q=x"
    fields: list[str] = []
    """Additional header lines. `{address}` is replaced by another IPv4 address of 10.0.0.0/8 in each request."""
    first_address: int = 0
    """Offset of the first address."""
    connections: int = 32
    """Keep-alive connections. 0 opens a new connection for each request, in an open loop."""
    timeout: float = 1.0
    """Seconds after which a client gives up and closes its connection."""
    pause: float = 0.0
    """Seconds, randomized by 50 %, before a client in a closed loop sends a request after another status than 200."""
    window: float = 0.25
    """Length of a window of the sample in seconds."""
    seed: int = 1
    poll_interval: float = 0.001
    """Seconds between two checks for due requests in an open loop; 0 checks in every iteration of the event loop."""
