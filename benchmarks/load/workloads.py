"""The code that askd serves in these scenarios. `FIGURES_LOOPS` is what takes 4 ms of processor time here."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Final

LOOPS: Final = int(os.environ.get("FIGURES_LOOPS", "0"))
CALLS: Final = os.environ.get("FIGURES_CALLS", os.devnull)
LARGE: Final = "large " * (1 << 19)
"""3 MiB: more than what a socket and its peer keep."""


def burn(turns: int) -> None:
    """Use the processor, and hold the interpreter, for a fixed amount of work: contention shows."""
    for _ in range(turns):
        pass


async def never(text: str) -> str:
    """Burn 4 ms without giving anybody else a turn."""
    burn(LOOPS)
    return "done"


async def often(text: str) -> str:
    """Burn 4 ms, and give others a turn three times in between."""
    for _ in range(3):
        burn(LOOPS // 4)
        await asyncio.sleep(0)
    burn(LOOPS // 4)
    return "done"


def sync(text: str) -> str:
    """Burn 4 ms in a thread."""
    burn(LOOPS)
    return "done"


async def wait(text: str) -> str:
    """Wait 500 ms, as for a model."""
    await asyncio.sleep(0.5)
    return "done"


async def quick(text: str) -> str:
    """Answer at once."""
    return "done"


async def large(text: str) -> str:
    """Answer at once, and with much where that is asked for."""
    return LARGE if text == "large" else "done"


async def steps(text: str) -> AsyncIterator[str]:
    """Take as many seconds as the question says, with a word every 200 ms."""
    end = time.monotonic() + float(text)
    yield "begun"
    while (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(0.2, left))
        yield " on"


def hang(text: str) -> str:
    """Never return, where that is asked for."""
    while text == "hang":
        time.sleep(60)
    return "done"


async def counted(text: str) -> str:
    """Take half a second, and leave a byte in a file for each call."""
    descriptor = os.open(CALLS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b".")
    os.close(descriptor)
    await asyncio.sleep(0.5)
    return "done"


counted.deterministic = True  # type: ignore[attr-defined]  # how code declares it, by askd's documentation
