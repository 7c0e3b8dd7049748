"""Helm values of a release that serves a function, which answers, waits or fails as the question says."""

from typing import Final

FUNCTION_SOURCE: Final = '''
import asyncio
import os
import time

SECONDS = {"slow": 4.0, "stream": 2.0}
ALLOCATED = []

async def answer(q: str) -> str:
    """Answer immediately or after a delay, or fail as the question says."""
    await asyncio.sleep(SECONDS.get(q, 0.0))
    if q == "crash":
        os._exit(1)
    if q == "hang":
        time.sleep(600)
    if q == "allocate":
        while True:
            ALLOCATED.append(bytearray(os.urandom(1 << 20)))
    return f"you asked {q}"
'''

BASE_VALUES: Final = {
    "answerer": {"spec": "answer.py:answer", "files": {"answer.py": FUNCTION_SOURCE}},
    "settings": {"deadline": "10s"},
}
