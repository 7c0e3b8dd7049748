"""Deadline, limiter and single flight around the real process, over real sockets."""

import asyncio
import json
from pathlib import Path

from .conftest import BOUND, WAIT, Gate, Start

SLOW = WAIT + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n"
NEVER = "import asyncio\n\nasync def answer(text):\n    await asyncio.Event().wait()\n"


async def test_the_deadline_is_the_lesser_of_both(start: Start, tmp_path: Path) -> None:
    """Past its time, the server's or a shorter one of the client, a question is 504, and its code is cancelled."""
    (tmp_path / "main.py").write_text(NEVER)
    process = await start("serve", "main.py:answer", "--ops-port", "0", ASKD_DEADLINE="300ms")
    await process.event("ready")
    for headers, seconds in (({}, "0.3"), ({"X-Request-Timeout": "50ms"}, "0.05"), ({"X-Request-Timeout": "9"}, "0.3")):
        reply = await process.get("/ask?q=x", headers=headers)
        assert reply.status == 504
        assert json.loads(reply.text)["detail"].startswith(f"There was no answer within {seconds} s.")
    malformed = await process.get("/ask?q=x", headers={"X-Request-Timeout": "soon"})
    assert (malformed.status, json.loads(malformed.text)["parameter"]) == (400, "X-Request-Timeout")
    scrape = (await process.get("/metrics", ops=True)).text
    assert 'askd_answerer_duration_seconds_count{outcome="cancelled"} 3.0' in scrape
    assert "askd_answerer_in_flight 0.0" in scrape


async def test_a_stream_whose_next_event_does_not_come_ends_with_an_error(start: Start, tmp_path: Path) -> None:
    """The deadline bounds the time between two events; once headers are out, an event `error` says so."""
    (tmp_path / "main.py").write_text(
        "import asyncio\n\nasync def answer(text):\n    yield 'a'\n    await asyncio.Event().wait()\n"
    )
    process = await start("serve", "main.py:answer", ASKD_DEADLINE="200ms")
    await process.event("ready")
    reply = await process.get("/ask?q=x", headers={"Accept": "text/event-stream"})
    assert (reply.status, reply.headers["X-Accel-Buffering"]) == (200, "no")
    assert 'event: delta\ndata: "a"' in reply.text
    assert '"status":504' in reply.text.partition("event: error")[2]
    assert await process.event("exchange", status=504)


async def test_beyond_the_limit_it_refuses_at_once(start: Start, tmp_path: Path, gate: Gate) -> None:
    """With its places taken and no queue a server says 503 with Retry-After, answers probes, and takes the next one."""
    (tmp_path / "main.py").write_text(SLOW)
    process = await start("serve", "main.py:answer", "--ops-port", "0", ASKD_CONCURRENCY="1", ASKD_QUEUE="0")
    await process.event("ready")
    first = asyncio.create_task(process.get("/ask?q=x"))
    await process.event("asked")
    refused = await process.get("/ask?q=y")
    assert (refused.status, refused.headers["Retry-After"] in {"1", "2", "3"}) == (503, True)
    assert json.loads(refused.text)["type"] == "/docs#overloaded"
    assert (await process.get("/readyz", ops=True)).status == 200
    assert 'askd_shed_total{reason="queue_full"} 1.0' in (await process.get("/metrics", ops=True)).text
    gate.open()
    assert (await first).status == 200
    gate.open()
    assert (await process.get("/ask?q=z")).status == 200
    assert process.events("questions shed", count=1)


async def test_the_same_question_is_one_call(start: Start, tmp_path: Path, gate: Gate) -> None:
    """Ten who ask deterministic code the same at once wait for one call, and are told so."""
    (tmp_path / "main.py").write_text(SLOW + "\nanswer.deterministic = True\n")
    process = await start("serve", "main.py:answer", "--ops-port", "0")
    await process.event("ready")
    asked = [asyncio.create_task(process.get("/ask?q=x")) for _ in range(10)]
    await process.event("asked")
    async with asyncio.timeout(BOUND):
        while 'askd_flight_results_total{result="joined"} 9.0' not in (await process.get("/metrics", ops=True)).text:
            continue
    gate.open()
    replies = await asyncio.gather(*asked)
    assert {reply.text for reply in replies} == {'{"answer":"late"}'}
    assert sum("collapsed" in reply.headers["Cache-Status"] for reply in replies) == 9
    again = await process.get("/ask?q=x")
    assert (again.headers["Cache-Status"], again.headers["Age"]) == ("askd; hit", "0")
    assert len(process.events("asked")) == 1
