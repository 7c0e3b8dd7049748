"""Steps of the drain that take no server to be tried."""

import asyncio
import threading

from service import drain


async def test_work_within_its_time() -> None:
    """Work that ends in time is done; what does not is left behind, in a thread that keeps nothing from ending."""
    gate, threads = threading.Event(), []

    def hang() -> None:
        threads.append(threading.current_thread())
        gate.wait()

    assert await drain.within(lambda: None, 5.0)
    assert not await drain.within(hang, 0.01)
    assert [thread.daemon for thread in threads] == [True]
    gate.set()
    await asyncio.to_thread(threads[0].join)
