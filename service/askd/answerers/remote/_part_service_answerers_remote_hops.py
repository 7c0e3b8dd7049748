"""Hops: how often a question has been passed on, so that one that goes round in a circle comes to an end."""

from collections.abc import Mapping
from typing import Final

from service.errors import Looped

HEADER: Final = "X-Askd-Hops"
MOST: Final = 5
"""Servers that a question may be passed on by: more than anybody puts in a row on purpose."""


def next_hop(headers: Mapping[str, str]) -> str:
    """Return the header's value for the next server. Raises Looped after too many; no number counts as too many."""
    text = headers.get(HEADER, "0").strip()
    hops = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else MOST
    if hops >= MOST:
        raise Looped(
            f"The question was passed on {MOST} times: servers ask one another in a circle. "
            f"Give one of them another answerer."
        )
    return str(hops + 1)
