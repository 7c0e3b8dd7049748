"""Hostile clients, run as a process of their own: `python -m benchmarks.load.attack_client PORT SECONDS NAME...`.

Prints the outcomes of the connections of each attack as JSON: the status of the first response, `closed` or `reset`
without one, or `open` if the server had not closed the connection when the client gave up.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from askd.httpserver.descriptors import raise_descriptor_limit
from benchmarks.load import raw_http

CONNECT_RATE: Final = 1000.0
"""Maximum new connections per second of an attack, so that it leaves the server some of the processor."""
POST_RATE: Final = 300.0
"""The same for an attack with bodies, each of which costs a millisecond of the server."""
LARGE_ANSWER_RATE: Final = 20.0
"""The same for an attack that also calls the code for 3 MiB: more of it is overload, as with any slow code."""
SEND_INTERVAL: Final = 0.01
"""Seconds between two repeated sends, and after each connection."""
_FIELDS: Final = tuple(f"X-{number}: {'a' * 8000}" for number in range(125))
_HEAD_56_KB: Final = raw_http.get_request("/ask?q=a", *_FIELDS[:7])
_WIDE_HEAD: Final = raw_http.get_request(
    "/ask?q=a", *[f"X-{number}: {'a' * 7996}\N{GRINNING FACE}" for number in range(7)]
)
_LARGE: Final = raw_http.get_request("/ask?q=large")
_POST: Final = "POST /ask HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
_CHUNKED: Final = f"{_POST}Transfer-Encoding: chunked\r\n\r\n".encode()


class Attack(NamedTuple):
    """Clients that all do the same, again and again, each on a new connection.

    Attributes:
        first: Bytes to send at once.
        clients: Connections at the same time.
        repeated: Bytes to send after that every SEND_INTERVAL, up to `repeats` times.
        repeats: See above.
        read_size: Bytes to read every SEND_INTERVAL; None reads everything, 0 nothing.
        patience: Seconds until a client gives up.
        connect_rate: Maximum new connections per second.
    """

    first: bytes
    clients: int
    repeated: bytes = b""
    repeats: int = 0
    read_size: int | None = None
    patience: float = 15.0
    connect_rate: float = CONNECT_RATE


ATTACKS: Final[Mapping[str, Attack]] = {
    "data behind a malformed head": Attack(
        b"GET / HTTP/1.1\r\nbad\x00\r\n\r\n" + b"x" * (64 << 10), 16, b"x" * (64 << 10), 200
    ),
    "heads of 1 MB": Attack(raw_http.get_request("/ask?q=a", *_FIELDS), 400),
    "unfinished heads of 56 KB": Attack(_HEAD_56_KB[:-2], 900),
    "unfinished heads with wide characters": Attack(_WIDE_HEAD[:-2], 900),
    "endless trailers": Attack(_CHUNKED + b"2\r\n{}\r\n0\r\nX: ", 16, b"a" * (64 << 10), 4000),
    "unfinished bodies": Attack(
        f"{_POST}Content-Length: 65000\r\n\r\n".encode() + b" " * 64_000, 900, connect_rate=POST_RATE
    ),
    "bodies in chunks of 2 bytes": Attack(_CHUNKED, 900, b"2\r\n  \r\n" * 1500, 20, connect_rate=POST_RATE),
    "bodies too large": Attack(f"{_POST}Content-Length: 100000000\r\n\r\n".encode(), 100, b" " * (64 << 10), 1500),
    "requests behind an unread response": Attack(
        _LARGE + _HEAD_56_KB * 16, 300, read_size=0, connect_rate=LARGE_ANSWER_RATE
    ),
    "small requests behind an unread response": Attack(
        _LARGE + raw_http.get_request("/ask?q=a") * 1000, 300, read_size=0, connect_rate=LARGE_ANSWER_RATE
    ),
    "bodies behind an unread response": Attack(
        _LARGE + (_CHUNKED + b"2\r\n  \r\n" * 8000 + b"0\r\n\r\n") * 2, 300, read_size=0, connect_rate=LARGE_ANSWER_RATE
    ),
    "readers that stop": Attack(_LARGE, 200, read_size=0, patience=25.0),
    "slow readers": Attack(_LARGE, 200, read_size=1 << 10, patience=25.0),
    "readers of large answers": Attack(raw_http.get_request("/ask?q=large", "Connection: close"), 50),
    "silent connections": Attack(b"", 1500),
    "unfinished TLS handshakes": Attack(b"\x16\x03\x01\x02", 1500),
    "connections that close at once": Attack(b"", 50, patience=0.0),
}
"""Attacks by name."""
TLS_ATTACKS: Final = ("silent connections", "unfinished TLS handshakes")
"""Attacks that are also made over TLS."""


class AttackClients:
    """The clients of one attack, with a share of its rates of connections and bytes."""

    def __init__(self, attack: Attack, port: int, *, ends_at: float, share: float) -> None:
        self.outcomes: Counter[str] = Counter()
        self._attack = attack
        self._port = port
        self._ends_at = ends_at
        self._interval, self._send_interval = 1 / (attack.connect_rate * share), SEND_INTERVAL / share
        self._next_connection_at = time.monotonic()

    async def run(self) -> None:
        """Attack until the end."""
        await asyncio.gather(*(self._run_client() for _ in range(self._attack.clients)))

    async def _run_client(self) -> None:
        while True:
            now = time.monotonic()
            self._next_connection_at = max(self._next_connection_at + self._interval, now)
            await asyncio.sleep(min(self._next_connection_at, self._ends_at) - now + SEND_INTERVAL)
            if time.monotonic() >= self._ends_at:
                return
            self.outcomes[await self._connect()] += 1

    async def _connect(self) -> str:
        received = bytearray()
        with socket.socket() as sock:
            sock.setblocking(False)
            if self._attack.read_size is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                async with asyncio.timeout(min(self._attack.patience, self._ends_at - time.monotonic())):
                    await self._attack_on(sock, received)
            except TimeoutError:
                return _status(received) or "open"
            except OSError:
                return _status(received) or "reset"
        return _status(received) or "closed"

    async def _attack_on(self, sock: socket.socket, received: bytearray) -> None:
        loop, attack = asyncio.get_running_loop(), self._attack
        await loop.sock_connect(sock, ("127.0.0.1", self._port))
        sending = asyncio.create_task(self._send(sock))
        try:
            while attack.read_size != 0 and (data := await loop.sock_recv(sock, attack.read_size or 1 << 18)):
                if len(received) < 12:
                    received += data
                if attack.read_size:
                    await asyncio.sleep(SEND_INTERVAL)
            while attack.read_size == 0:  # the connection cannot be seen to end without reading
                await asyncio.sleep(0.25)
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise ConnectionResetError
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await sending

    async def _send(self, sock: socket.socket) -> None:
        loop, attack = asyncio.get_running_loop(), self._attack
        await loop.sock_sendall(sock, attack.first)
        for _ in range(attack.repeats):
            await asyncio.sleep(self._send_interval)
            await loop.sock_sendall(sock, attack.repeated)


def _status(received: bytearray) -> str:
    return received[9:12].decode(errors="replace") if received.startswith(b"HTTP/1.") else ""


def yield_processor() -> None:
    """Let the good clients go first, whose latency is measured, also if this is run with a real-time priority."""
    if os.sched_getscheduler(0) in {os.SCHED_FIFO, os.SCHED_RR}:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    else:
        os.nice(10)


async def attack_all(port: int, seconds: float, names: list[str]) -> dict[str, Counter[str]]:
    """Run attacks together. Returns the outcomes of each."""
    ends_at = time.monotonic() + seconds
    clients = {name: AttackClients(ATTACKS[name], port, ends_at=ends_at, share=1 / len(names)) for name in names}
    await asyncio.gather(*(item.run() for item in clients.values()))
    return {name: item.outcomes for name, item in clients.items()}


if __name__ == "__main__":
    yield_processor()
    raise_descriptor_limit()
    sys.stdout.write(json.dumps(asyncio.run(attack_all(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))))
