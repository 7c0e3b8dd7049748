"""Worker processes that die, hang, or have served enough."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from askd.answerers.worker_processes import pool
from askd.answerers.worker_processes.answerer import WorkerProcessAnswerer
from askd.errors import LoadError, WorkerDied
from askd.models import ReleaseCallback, detach_permit_var
from tests.support.app_fixtures import Log, ServeApp
from tests.support.worker_process_fixtures import StartWorkers, ask, create_workers, eventually

CODE = """
import ctypes, os, signal, time
from prometheus_client import Counter, Gauge

ASKED = Counter("test_asked", "Questions.", ["text"])
LEVEL = Gauge("test_level", "Level.")

def answer(q):
    ASKED.labels(q).inc()
    LEVEL.set(3)
    if q == "segfault":
        ctypes.string_at(0)
    if q == "exit":
        os._exit(5)
    if q == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if q == "hang":
        open("hanging", "w").close()
        while True:
            time.sleep(60)
    return str(os.getpid())
"""


class HeldPermits:
    """Counts the permits that calls keep beyond their end, and those of them that were released."""

    def __init__(self) -> None:
        self.held = self.released = 0
        detach_permit_var.set(self._hold)

    def _hold(self) -> ReleaseCallback:
        self.held += 1
        return self._release

    def _release(self) -> None:
        self.released += 1


def exits(workers: WorkerProcessAnswerer) -> dict[str, int]:
    """Return the number of replaced workers by reason, without zeros."""
    return {reason: count for reason, count in (workers.statistics().worker_exits or {}).items() if count}


async def test_a_worker_that_dies_is_replaced(start_workers: StartWorkers, log: Log) -> None:
    """A crash costs its own request an error that names the signal, and the next request gets a new worker."""
    workers = await start_workers(CODE, processes=2)
    permits = HeldPermits()
    for text, reason in (("segfault", "was killed by SIGSEGV"), ("exit", "exited with code 5"), ("kill", "by SIGKILL")):
        with pytest.raises(WorkerDied, match=reason):
            await ask(workers, text)
        assert await ask(workers) != str(os.getpid())
    await eventually(lambda: permits.released == 3)
    assert exits(workers) == {"died": 3}
    assert workers.statistics().worker_processes == 2
    (report,) = log.lines("worker_crash_report")
    assert "code.py" in report["exception"]
    assert [line["error"] for line in log.lines("worker_replaced")][1] == "exited with code 5"


async def test_a_server_is_ready_while_a_worker_is_replaced(
    serve: ServeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The readiness check succeeds while a successor loads, and after that."""
    monkeypatch.chdir(tmp_path)
    workers = create_workers(tmp_path, CODE, processes=2)
    client = await serve(workers)

    async def readiness() -> int:
        async with client.get("/readyz") as response:
            return response.status

    async with client.get("/ask", params={"q": "exit"}) as response:
        assert response.status == 500
    assert await readiness() == 200
    assert [await ask(workers) for _ in range(4)]
    await eventually(lambda: workers.statistics().worker_processes == 2)
    assert await readiness() == 200
    assert exits(workers) == {"died": 1}


async def test_a_call_that_never_returns_is_killed(start_workers: StartWorkers, log: Log) -> None:
    """After its cancellation, a call that goes on is killed with its process; its permit is held until then."""
    workers = await start_workers(CODE, kill_delay=0.5)
    permits = HeldPermits()
    call = asyncio.create_task(ask(workers, "hang"))
    await eventually(Path("hanging").exists)
    call.cancel()
    await asyncio.wait({call})
    assert (permits.held, permits.released) == (1, 0)
    assert await ask(workers)
    assert (permits.held, permits.released) == (1, 1)
    assert exits(workers) == {"killed": 1}
    assert log.lines("worker_replaced")[0]["detail"] == "it did not end its cancelled call"
    (report,) = log.lines("worker_crash_report")
    assert re.search(r'code\.py", line \d+ in answer', report["exception"])


@pytest.mark.slow
async def test_workers_are_replaced_after_their_requests(start_workers: StartWorkers) -> None:
    """After ASKD_WORKER_MAX_REQUESTS, a worker serves until its successor is loaded; no request is lost."""
    workers = await start_workers(CODE, worker_max_requests=5)
    pids: list[str] = []
    async with asyncio.timeout(20):
        while len(set(pids)) < 3:
            pids.append(await ask(workers))
    assert pids == sorted(pids, key=pids.index)  # a worker that has been replaced gets no more questions
    assert min(pids.count(pid) for pid in list(dict.fromkeys(pids))[:2]) >= 4
    assert exits(workers).keys() == {"max_requests"}


@pytest.mark.slow
async def test_workers_are_replaced_for_their_memory(
    start_workers: StartWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker above ASKD_WORKER_MAX_MEMORY is replaced, although it is idle."""
    monkeypatch.setattr(pool, "MEMORY_CHECK_INTERVAL", 0.01)
    workers = await start_workers(
        """
        import os
        held = []

        def answer(q):
            if q == "grow":
                held.append(b"x" * 200_000_000)
            return str(os.getpid())
        """,
        worker_max_memory=150_000_000,
    )
    first = await ask(workers, "grow")
    await eventually(
        lambda: exits(workers) == {"max_memory": 1} and (workers.statistics().worker_bytes or 0) < 150_000_000
    )
    assert await ask(workers) != first


async def test_metrics_of_all_workers(start_workers: StartWorkers) -> None:
    """Metrics of the code are in the scrape, and counters do not go back when a worker is replaced."""
    workers = await start_workers(CODE, processes=2)
    for _ in range(4):
        await ask(workers, "a")
    text = (await asyncio.to_thread(generate_latest, REGISTRY)).decode()
    assert 'test_asked_total{text="a"} 4.0' in text
    assert 'test_level{worker_process="1"} 3.0' in text
    assert 'test_level{worker_process="2"} 3.0' in text
    assert text.count("\nprocess_resident_memory_bytes ") == 1
    with pytest.raises(WorkerDied):
        await ask(workers, "exit")
    await eventually(lambda: workers.statistics().worker_processes == 2)
    text = (await asyncio.to_thread(generate_latest, REGISTRY)).decode()
    assert 'test_asked_total{text="a"} 4.0' in text
    await workers.close()
    assert "test_asked" not in generate_latest(REGISTRY).decode()


@pytest.mark.slow
async def test_an_idle_worker_that_dies_costs_no_request(start_workers: StartWorkers) -> None:
    """A worker that is killed between two requests is replaced, and no request fails."""
    workers = await start_workers(CODE, processes=2)
    os.kill(int(await ask(workers)), signal.SIGKILL)
    await eventually(lambda: exits(workers) == {"died": 1})
    assert all([await ask(workers) for _ in range(4)])


@pytest.mark.slow
async def test_a_crash_during_the_load_is_tried_again(
    start_workers: StartWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that die again and again while they load make readiness fail with the reason, until one loads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "INITIAL_BACKOFF", 0.001)
    workers = create_workers(
        tmp_path, "import os\nif not os.path.exists('fixed'): os._exit(9)\ndef answer(q): return 'ok'"
    )
    lines: list[str] = []
    load = asyncio.create_task(workers.load(lines.append))
    try:
        await eventually(lambda: any("3 times in a row: exited with code 9" in line for line in lines))
        ok, reason = await workers.ready()
        assert not ok
        assert reason.startswith("worker process 1 failed to load")
        (tmp_path / "fixed").touch()
        await load
        assert await workers.ready() == (True, "")
        assert await ask(workers) == "ok"
    finally:
        await workers.close()


@pytest.mark.slow
async def test_graphs_with_memory_in_the_process_are_refused(start_workers: StartWorkers) -> None:
    """A graph with an in-memory checkpointer is refused: its threads would be in one of the processes."""
    graph = """
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    def node(state): return {"messages": [("ai", "hi")]}

    def build(**options):
        builder = StateGraph(MessagesState)
        builder.add_node("node", node)
        builder.add_edge(START, "node")
        return builder.compile(**options)

    stateless = build()
    remembering = build(checkpointer=InMemorySaver())
    """
    with pytest.raises(LoadError, match=r"InMemorySaver keeps data in the memory of one process.*ASKD_PROCESSES=0"):
        await start_workers(graph, name="remembering")
    workers = await start_workers(graph, name="stateless")
    assert workers.kind == "graph"
    assert await ask(workers, "hello") == "hi"
