"""The drain: whether the server is about to stop."""


class DrainState:
    """Read by probes, connections, responses and metrics, in any thread; set by `ConnectionManager.drain`."""

    __slots__ = ("is_draining",)

    def __init__(self) -> None:
        self.is_draining = False
        """Whether the server has begun to shut down."""
