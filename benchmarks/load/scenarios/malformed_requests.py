"""Ten thousand requests that are none: each refused alike, none echoed, and neither log nor metrics grow with them."""

import asyncio
import itertools
import random
import time
from collections import Counter
from typing import Final

from tests.figures import wire
from tests.figures.numbers import counted
from tests.figures.report import Section, mib
from tests.figures.run import Run
from tests.figures.server import Askd

AT_ONCE: Final = 50
FIRST: Final = 1400
"""Requests before those that count."""
PATIENCE: Final = 15.0
LONG: Final = 1 << 17
"""Bytes of a line that is too long, however long a question may be."""
KINDS: Final = {
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
    "long line": b"GET /" + b"a" * LONG + b"{0} HTTP/1.1\r\nHost: x\r\n\r\n",
    "long field": b"GET /{0} HTTP/1.1\r\nHost: x\r\nX: " + b"a" * LONG + b"\r\n\r\n",
    "many fields": b"GET /{0} HTTP/1.1\r\nHost: x\r\n" + b"X-{0}: a\r\n" * 200 + b"\r\n",
    "noise": b"\x00\xff\x13{0}\x07\r\n\r\n",
}
"""`{0}` is another word in each request, so that a series, a line or an entry for each would show."""


async def measure(run: Run) -> Section:
    """Some of each first, so that what there is once for all is there; then all of them, with an eye on what grows."""
    total = run.plan.count(10_000, 1_400)
    results: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    async with run.askd("quick") as askd:
        await _send(askd, FIRST, {kind: Counter() for kind in KINDS})
        before, memory, lines = await askd.metrics(), askd.resident(), len(askd.lines())
        began = time.monotonic()
        await _send(askd, total, results)
        seconds = time.monotonic() - began
        await asyncio.sleep(1.5)  # what is summed up once a second is written
        logged, growth = len(askd.lines()) - lines, askd.resident() / memory - 1
        new = (await askd.metrics()).keys() - before.keys()
    section = Section(title=f"{total:,} malformed requests", head=("kind", "what came back"))
    section.rows += [(kind, counted(outcomes)) for kind, outcomes in results.items()]
    section.notes += [f"took {seconds:.1f} s, {total / seconds:,.0f}/s", *sorted(new)[:5]]
    good = sum(outcomes[f"{status}, closed"] for kind, outcomes in results.items() for status in _right(kind))
    section.judge(
        "malformed: responses",
        f"{total:,} × 400 (too long: 414 or 431 as well), closed",
        f"{good:,}",
        met=good == total,
    )
    allowed = int(seconds + 1.5) + 1
    section.judge(
        "malformed: log lines",
        f"≤ 1 a second: {allowed}",
        f"{logged:,} in {seconds + 1.5:.1f} s",
        met=logged <= allowed,
    )
    section.judge("malformed: new metric series", "0", str(len(new)), met=not new)
    section.judge("malformed: memory", "flat: < 5 %", f"{growth:+.1%} from {mib(memory)}", met=growth < 0.05)
    return section


def _right(kind: str) -> tuple[int, ...]:
    """The statuses that are right for it."""
    return (400, 414, 431) if kind in {"long line", "long field", "many fields"} else (400,)


async def _send(askd: Askd, total: int, results: dict[str, Counter[str]]) -> None:
    """Send so many, in turns of each kind, some at once."""
    work = iter(list(itertools.islice(itertools.cycle(KINDS.items()), total)))
    words = random.Random(1)

    async def sender() -> None:
        for kind, template in work:
            word = f"w{words.getrandbits(64):016x}".encode()
            results[kind][await _one(askd.port, template.replace(b"{0}", word), word)] += 1

    await asyncio.gather(*(sender() for _ in range(AT_ONCE)))


async def _one(port: int, request: bytes, word: bytes) -> str:
    """Send one request, read to the end of the connection, and say what that was."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(request)
            while part := await reader.read(1 << 16):
                data += part
    except TimeoutError:
        return f"{_status(data)}, still open after {PATIENCE:.0f} s"
    except OSError:
        if not data:
            return "reset without a response"
    finally:
        writer.transport.abort()
    return f"{_status(data)}, closed" + (", ECHOED" if word in data else "")


def _status(data: bytes) -> str:
    found = wire.read(data) if data.startswith(b"HTTP/1.") else None
    return str(found.status) if found else "no response"
