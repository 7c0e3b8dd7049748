"""What a load is: phases of steps, as they are sent to the process that makes it."""

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a phase. With a rate it is an open loop: requests are due at random times, whatever comes back.

    Without one it is a closed loop: each connection asks again when it has been answered.
    """

    seconds: float
    rate: float | None = None
    requests: int | None = None
    """In a closed loop: end after so many."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one port of 127.0.0.1, over keep-alive connections; one request at a time on each."""

    port: int
    steps: list[Step]
    target: str = "/ask?q=x"
    fields: list[str] = []
    """Further header lines. `{address}` in one becomes another IPv4 address in each request, of 10.0.0.0/8."""
    first_address: int = 0
    """How many addresses come before the first."""
    connections: int = 32
    patience: float = 1.0
    """Seconds after which a client gives up and closes its connection."""
    pause: float = 0.0
    """In a closed loop: seconds, within 50 % by chance, before a client asks again that got no answer."""
    window: float = 0.25
    """Length in seconds of the slices that a step is cut into."""
    seed: int = 1
    tick: float = 0.001
    """In an open loop: seconds between two looks at what is due; 0: one at each turn of the loop, which never rests."""
