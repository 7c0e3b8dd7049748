"""A number of requests per period; separate from `askd.quota` because settings must not import msgspec."""

from typing import Final, NamedTuple

_SECONDS_TO_UNIT: Final = {1.0: "s", 60.0: "m", 3600.0: "h"}


class Rate(NamedTuple):
    """Number of requests per period, in seconds (1, 60 or 3600)."""

    requests: int
    seconds: float

    def __str__(self) -> str:
        """Return the rate as settings write it: `100/s`."""
        return f"{self.requests}/{_SECONDS_TO_UNIT[self.seconds]}"
