"""Ten thousand malformed requests: all are rejected, none is echoed, and log, metrics and memory do not grow."""

import asyncio
import itertools
import random
import time
from collections import Counter
from typing import Final

from benchmarks.load import raw_http
from benchmarks.load.askd_process import AskdProcess
from benchmarks.load.report import Section, format_mib
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import format_outcomes

CONCURRENT_CLIENTS: Final = 50
WARMUP_REQUESTS: Final = 1400
"""Requests before the measurement."""
CLIENT_TIMEOUT: Final = 15.0
LONG_LINE_BYTES: Final = 1 << 17
"""Length of a line that exceeds every limit, in bytes."""
MALFORMED_REQUESTS: Final = {
    "both lengths": b"POST / HTTP/1.1\r\nHost: {0}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two Content-Length": b"POST /{0} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "unknown encoding": b"POST /{0} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked{0}\r\n\r\n0\r\n\r\n",
    "bare LF": b"GET /{0} HTTP/1.1\nHost: x\nX: {0}\n\n",
    "folded header": b"GET /{0} HTTP/1.1\r\nHost: x\r\nX: a\r\n {0}\r\n\r\n",
    "no Host": b"GET /{0} HTTP/1.1\r\nX: {0}\r\n\r\n",
    "two Host": b"GET /ask?q={0} HTTP/1.1\r\nHost: x\r\nHost: {0}\r\n\r\n",
    "TLS hello": bytes.fromhex("1603010200010001fc0303") + b"{0}" * 8,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{0}",
    "space in a name": b"GET /ask?q={0} HTTP/1.1\r\nHost: x\r\nX {0}: a\r\n\r\n",
    "long line": b"GET /" + b"a" * LONG_LINE_BYTES + b"{0} HTTP/1.1\r\nHost: x\r\n\r\n",
    "long field": b"GET /{0} HTTP/1.1\r\nHost: x\r\nX: " + b"a" * LONG_LINE_BYTES + b"\r\n\r\n",
    "many fields": b"GET /{0} HTTP/1.1\r\nHost: x\r\n" + b"X-{0}: a\r\n" * 200 + b"\r\n",
    "noise": b"\x00\xff\x13{0}\x07\r\n\r\n",
}
"""Malformed requests by name. `{0}` is replaced by a unique word, so that any state per request is noticed."""


async def measure(run: ScenarioContext) -> Section:
    """Send some of each kind as a warm-up, then all of them, and compare log, metrics and memory."""
    total = run.plan.count(10_000, 1_400)
    results: dict[str, Counter[str]] = {kind: Counter() for kind in MALFORMED_REQUESTS}
    async with run.serve_workload("quick") as askd:
        await _send(askd, WARMUP_REQUESTS, {kind: Counter() for kind in MALFORMED_REQUESTS})
        before, memory, lines = await askd.metrics(), askd.resident_bytes(), len(askd.lines())
        started_at = time.monotonic()
        await _send(askd, total, results)
        seconds = time.monotonic() - started_at
        await asyncio.sleep(1.5)  # throttled log lines are written once per second
        logged, growth = len(askd.lines()) - lines, askd.resident_bytes() / memory - 1
        new_series = (await askd.metrics()).keys() - before.keys()
    section = Section(title=f"{total:,} malformed requests", head=("kind", "responses"))
    section.rows += [(kind, format_outcomes(outcomes)) for kind, outcomes in results.items()]
    section.notes += [f"took {seconds:.1f} s, {total / seconds:,.0f}/s", *sorted(new_series)[:5]]
    correct = sum(
        outcomes[f"{status}, closed"] for kind, outcomes in results.items() for status in _expected_statuses(kind)
    )
    section.add_verdict(
        "malformed: responses",
        f"{total:,} × 400 (too long: also 414 or 431), closed",
        f"{correct:,}",
        met=correct == total,
    )
    max_lines = int(seconds + 1.5) + 1
    section.add_verdict(
        "malformed: log lines",
        f"≤ 1 per second: {max_lines}",
        f"{logged:,} in {seconds + 1.5:.1f} s",
        met=logged <= max_lines,
    )
    section.add_verdict("malformed: new metric series", "0", str(len(new_series)), met=not new_series)
    section.add_verdict(
        "malformed: memory", "flat: < 5 %", f"{growth:+.1%} from {format_mib(memory)}", met=growth < 0.05
    )
    return section


def _expected_statuses(kind: str) -> tuple[int, ...]:
    """Return the correct statuses for a kind of malformed request."""
    return (400, 414, 431) if kind in {"long line", "long field", "many fields"} else (400,)


async def _send(askd: AskdProcess, total: int, results: dict[str, Counter[str]]) -> None:
    """Send this number of requests concurrently, cycling through the kinds."""
    requests = iter(list(itertools.islice(itertools.cycle(MALFORMED_REQUESTS.items()), total)))
    rng = random.Random(1)

    async def sender() -> None:
        for kind, template in requests:
            word = f"w{rng.getrandbits(64):016x}".encode()
            results[kind][await _send_one(askd.port, template.replace(b"{0}", word), word)] += 1

    await asyncio.gather(*(sender() for _ in range(CONCURRENT_CLIENTS)))


async def _send_one(port: int, request: bytes, word: bytes) -> str:
    """Send one request, read until the server closes the connection, and describe the outcome."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    try:
        async with asyncio.timeout(CLIENT_TIMEOUT):
            writer.write(request)
            while part := await reader.read(1 << 16):
                data += part
    except TimeoutError:
        return f"{_status(data)}, still open after {CLIENT_TIMEOUT:.0f} s"
    except OSError:
        if not data:
            return "reset without a response"
    finally:
        writer.transport.abort()
    return f"{_status(data)}, closed" + (", ECHOED" if word in data else "")


def _status(data: bytes) -> str:
    response = raw_http.parse_response(data) if data.startswith(b"HTTP/1.") else None
    return str(response.status) if response else "no response"
