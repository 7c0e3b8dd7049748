"""What a client wishes of the cache: to be given what is kept, and to have its own answer kept, or not."""

from typing import Final

import msgspec


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks of the cache."""

    look: bool = True
    """Whether what is kept may be given; False: `no-cache`."""
    keep: bool = True
    """Whether the answer may be kept; False: `no-store`."""
    call: bool = True
    """Whether the code may be asked; False: `only-if-cached`."""
    max_age: float = float("inf")
    """Seconds; what has been kept for longer is not wanted."""


NONE: Final = Wishes()
"""Of a request that asks for nothing, as nearly all."""
