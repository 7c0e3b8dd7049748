"""Functions that askd serves in the scenarios. `BENCH_LOOPS` is the number of loops that take 4 ms of CPU time."""

import asyncio
import ctypes
import os
import random
import time
from collections.abc import AsyncIterator
from typing import Final

LOOPS_PER_CALL: Final = int(os.environ.get("BENCH_LOOPS", "0"))
CALLS_FILE: Final = os.environ.get("BENCH_CALLS_FILE", os.devnull)
LARGE_ANSWER: Final = "large " * (1 << 19)
"""3 MiB, more than the socket buffers of both ends."""


def burn_cpu(loops: int) -> None:
    """Use CPU time while holding the GIL."""
    for _ in range(loops):
        pass


async def never(text: str) -> str:
    """Use 4 ms of CPU time without awaiting."""
    burn_cpu(LOOPS_PER_CALL)
    return "done"


async def often(text: str) -> str:
    """Use 4 ms of CPU time and yield to the event loop three times."""
    for _ in range(3):
        burn_cpu(LOOPS_PER_CALL // 4)
        await asyncio.sleep(0)
    burn_cpu(LOOPS_PER_CALL // 4)
    return "done"


def sync(text: str) -> str:
    """Use 4 ms of CPU time in a thread."""
    burn_cpu(LOOPS_PER_CALL)
    return "done"


async def wait(text: str) -> str:
    """Wait 500 ms, as for a language model."""
    await asyncio.sleep(0.5)
    return "done"


async def quick(text: str) -> str:
    """Return immediately."""
    return "done"


async def large(text: str) -> str:
    """Return a large answer to `large`, a small one otherwise."""
    return LARGE_ANSWER if text == "large" else "done"


async def steps(text: str) -> AsyncIterator[str]:
    """Stream for as many seconds as the question says, with a word every 200 ms."""
    end = time.monotonic() + float(text)
    yield "started"
    while (remaining := end - time.monotonic()) > 0:
        await asyncio.sleep(min(0.2, remaining))
        yield " more"


def hang(text: str) -> str:
    """Never return if the question is `hang`."""
    while text == "hang":
        time.sleep(60)
    return "done"


async def counted(text: str) -> str:
    """Take half a second, and append a byte to a file for each call."""
    descriptor = os.open(CALLS_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b".")
    os.close(descriptor)
    await asyncio.sleep(0.5)
    return "done"


counted.deterministic = True  # type: ignore[attr-defined]  # how user code declares it


def crash(text: str) -> str:
    """Use 4 ms of CPU time; one call of a thousand, chosen at random, ends with a segmentation fault."""
    burn_cpu(LOOPS_PER_CALL)
    if random.random() < 0.001:
        ctypes.string_at(0)
    return "done"


def immediate(text: str) -> str:
    """Return immediately, from a thread."""
    return "done"
