"""One exchange, measured: which steps it had, how long each took, what the server says of its own part."""

import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import msgspec

from service.client import faults
from service.client.failed import Failed
from service.client.marks import Marks, header_bytes
from service.client.session import Session
from service.client.target import Wanted
from service.client.text import loosely

TOTAL: Final = "total"
_METRIC: Final = re.compile(r"\s*([A-Za-z0-9_-]{1,32})\s*;\s*dur=(\d{1,12}(?:\.\d{1,9})?)\s*")


class Step(msgspec.Struct, frozen=True):
    """One step. `began` and `seconds` count from the start of the exchange; `server`: it is the server's own word."""

    name: str
    began: float
    seconds: float
    server: bool = False


class Exchange(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was measured, and what was answered. Times are seconds, sizes bytes of heads and bodies together."""

    url: str
    status: int
    answer: str | None
    protocol: str
    address: str
    addresses: list[str]
    served_by: str
    id: str
    seconds: float
    sent: int
    received: int
    steps: list[Step]
    server_timing: dict[str, float]
    problem: Any = None
    cache: str = ""
    """What caches on the way say, the server's among them: `Cache-Status` (RFC 9211)."""


async def measure(session: Session, wanted: Wanted) -> tuple[Exchange, Failed | None]:
    """Ask, and return the exchange, and why it has no answer; None: it has one. Raises Failed where none took place."""
    async with session.ask(wanted) as response:
        body = await session.body(response)
        found, url = loosely(body), str(response.url)
        marks, target = session.marks, session.target
        failed = None if response.status == 200 else faults.refused(response.status, response.headers, found, target)
        timing = server_timing(", ".join(response.headers.getall("Server-Timing", [])))
        answer = found.get("answer") if isinstance(found, Mapping) and failed is None else None
        exchange = Exchange(
            url=url,
            status=response.status,
            answer=answer if isinstance(answer, str) else None,
            protocol=protocol(response, marks),
            address=marks.peer,
            addresses=marks.addresses,
            served_by=response.headers.get("X-Served-By", ""),
            id=response.headers.get("X-Request-Id", ""),
            seconds=(marks.ended or marks.started) - marks.started,
            sent=marks.sent_bytes,
            received=_head_bytes(response) + len(body),
            steps=steps(marks.spans(), timing),
            server_timing=timing,
            problem=found if failed else None,
            cache=", ".join(response.headers.getall("Cache-Status", [])),
        )
    return exchange, failed


def protocol(response: aiohttp.ClientResponse, marks: Marks) -> str:
    """Return `HTTP/1.1`, and TLS's version where it was spoken."""
    version = response.version
    http = f"HTTP/{version.major}.{version.minor}" if version else "HTTP"
    tls = marks.secure.version() if marks.secure else None
    return f"{http} over {tls.replace('v', ' ')}" if tls else http


def server_timing(header: str) -> dict[str, float]:
    """Return the seconds by stage of a `Server-Timing` header; what is no stage with a duration is passed over."""
    found = filter(None, map(_METRIC.fullmatch, header.split(",")))
    return {match[1]: float(match[2]) / 1000 for match in found}


def steps(spans: Mapping[str, tuple[float, float]], timing: Mapping[str, float]) -> list[Step]:
    """Return the steps in their order; those of the server stand after `waiting`, which they are part of.

    What of the waiting the server knows nothing of is the network's, half of it before and half after. When a stage
    of the server's began is not told: they are set one after another.
    """
    found: list[Step] = []
    for name, (begin, end) in spans.items():
        found.append(Step(name, begin, end - begin))
        if name == "waiting" and TOTAL in timing:
            found += _of_server(begin, end - begin, timing)
    return found


def _of_server(begin: float, waited: float, timing: Mapping[str, float]) -> list[Step]:
    total = timing[TOTAL]
    network = max(waited - total, 0.0)
    found, at = [Step("network", begin, network)], begin + network / 2
    known = {name: seconds for name, seconds in timing.items() if name != TOTAL}
    for name, seconds in (known | {"the rest": max(total - sum(known.values()), 0.0)}).items():
        found.append(Step(name, at, seconds, server=True))
        at += seconds
    return found


def _head_bytes(response: aiohttp.ClientResponse) -> int:
    return len(f"HTTP/1.1 {response.status} {response.reason}\r\n") + header_bytes(response.raw_headers)
