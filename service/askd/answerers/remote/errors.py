"""What becomes of another server's faults: the problem that a client is told of. The cause goes to the log only."""

import math
import random
from collections.abc import Mapping
from typing import Final

from service.errors import Problem, Unavailable, UpstreamFailed

RETRY_LONGEST: Final = 300
"""Seconds: a server that names a longer wait is asked again after this all the same."""


def unreachable() -> Unavailable:
    """Nobody takes the connection: the question has not reached a server."""
    return Unavailable("The server that answers cannot be reached. Ask again in a moment.")


def again(fault: Problem) -> Unavailable:
    """Return what a look at the server came to, for a question that was not sent; each that waited gets its own."""
    if not isinstance(fault, Unavailable):
        return Unavailable("The server that answers is not there yet. Ask again in a moment.")
    problem = Unavailable(fault.detail)
    problem.retry_after = fault.retry_after
    return problem


def resting(seconds: float) -> Unavailable:
    """It failed too often and is left alone for now. Clients come back at different times, up to 2 s later."""
    problem = Unavailable(
        "The server that answers has failed too often, and is left alone for a moment. Ask again then."
    )
    problem.retry_after = max(math.ceil(seconds), 1) + random.randint(0, 2)  # noqa: S311 - spreads clients, keeps no secret
    return problem


def broken() -> UpstreamFailed:
    """The connection ended before the answer did. The question may have been answered: it is not asked again."""
    return UpstreamFailed("The server that answers broke off. Ask again if asking twice does no harm.")


def untrusted() -> UpstreamFailed:
    """Its certificate is not one that this machine trusts, or it speaks no TLS."""
    return UpstreamFailed("There is no secure connection to the server that answers.")


def late() -> UpstreamFailed:
    """The deadline is over."""
    return UpstreamFailed("The server that answers took too long. Ask something that takes less time, or ask later.")


def senseless() -> UpstreamFailed:
    """What came is not what such a server sends."""
    return UpstreamFailed("The server that answers sent what is no answer. The log has more under this id.")


def busy(retry_after: str | None, detail: str = "") -> Unavailable:
    """It has too much to do, or says in `detail`, for clients, what else keeps it from answering now.

    `retry_after` is its own header; a date in it, or nothing, counts as one second.
    """
    problem = Unavailable(detail or "The server that answers has too much to do. Ask again later.")
    if retry_after and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        problem.retry_after = min(max(int(retry_after), 1), RETRY_LONGEST)
    return problem


def of_status(status: int, headers: Mapping[str, str]) -> Problem:
    """Return the problem for a status that is none of success; `headers` has names in lower or any case."""
    if status in {429, 503}:
        return busy(headers.get("Retry-After"))
    if status == 409:
        return Unavailable("The conversation is busy with another question. Ask again in a moment.")
    if status in {401, 403}:
        return UpstreamFailed("The server that answers does not let this one ask. Its log has more under this id.")
    return UpstreamFailed("The server that answers failed. The log has more under this id.")
