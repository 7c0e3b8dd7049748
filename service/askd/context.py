"""The record of one exchange: what the log line, the metrics and the response's own headers are made from."""

import random
import re
from contextvars import ContextVar
from typing import Any, Final

import msgspec
from multidict import istr

from service.models import Stages

TRACEPARENT: Final = istr("traceparent")
_ID: Final = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")
_TRACEPARENT: Final = re.compile(
    r"(?!ff|00-.{53})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_random: Final = random.Random()  # noqa: S311 - ids are unique, not secret; a system call each would cost more than the log line


class Exchange(msgspec.Struct, kw_only=True):
    """One exchange as it is observed. `arrived`: when its first byte came (`time.monotonic`); `status` 0: not known."""

    id: str
    method: str
    route: str
    arrived: float
    trace_id: str = ""
    """Id of the trace that it is part of, in hex; empty: none."""
    span_id: str = ""
    """Id of its span, in hex; empty where it is not sampled."""
    span: Any = None
    """What tracing keeps of it until its end; None where it is not sampled."""
    unsampled: Any = None
    """The ids that it passes on where it is not sampled; None: nobody has asked for them."""
    client: str = ""
    caller: str = ""
    """Name of the token that was shown; empty where none is asked for."""
    status: int = 0
    shed: bool = False
    """Whether it was refused because there were too many."""
    fault: str = ""
    """What went wrong, in a word: a problem's code, or the type of what the code raised; empty: nothing."""
    leader: str = ""
    """Id of the exchange whose call of the code this one joined; empty where it joined none."""
    question: str = ""
    rate_limit: tuple[str, str] | None = None
    """What the client is told of its rate: the fields `RateLimit-Policy` and `RateLimit`; None: there is none."""
    stages: Stages = msgspec.field(default_factory=Stages)


CURRENT: Final[ContextVar[Exchange | None]] = ContextVar("askd_exchange", default=None)
"""The exchange that the running code belongs to; None outside of one. Every log line takes its ids from here."""


def current() -> Exchange:
    """Return the exchange that the running code belongs to. Raises LookupError outside of one."""
    exchange = CURRENT.get()
    if exchange is None:
        raise LookupError("no exchange is under way")
    return exchange


def request_id(offered: str | None) -> str:
    """Return the client's id if it is well formed (1 to 128 URL-safe characters), else 32 random hex digits."""
    if offered and _ID.fullmatch(offered):
        return offered
    return f"{_random.getrandbits(128):032x}"


def trace_id(traceparent: str | None) -> str:
    """Return the trace id of a W3C `traceparent` header, empty where there is none or it is malformed.

    Only versions after 00 may be longer (Trace Context, section 3.2.4).
    """
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return found[1] if found else ""


def server_timing(exchange: Exchange, now: float) -> str:
    """Render the `Server-Timing` header: the stages passed and the total so far, in milliseconds."""
    stages = exchange.stages
    parts = []
    if stages.auth is not None:
        parts.append(f"auth;dur={stages.auth * 1e3:.3f}")
    if stages.rate is not None:
        parts.append(f"rate;dur={stages.rate * 1e3:.3f}")
    if stages.cache is not None:
        parts.append(f"cache;dur={stages.cache * 1e3:.3f}")
    if stages.queue is not None:
        parts.append(f"queue;dur={stages.queue * 1e3:.3f}")
    if stages.code is not None:
        parts.append(f"code;dur={stages.code * 1e3:.3f}")
    if stages.render is not None:
        parts.append(f"render;dur={stages.render * 1e3:.3f}")
    parts.append(f"total;dur={(now - exchange.arrived) * 1e3:.3f}")
    return ", ".join(parts)
