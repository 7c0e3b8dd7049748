"""Rate limit, deadline, concurrency limit and single flight of the process."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.askd_process import TIMEOUT, WAITING_CODE, NamedPipeGate, StartAskd

WAITING_ANSWERER = WAITING_CODE + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n"
HANGING_ANSWERER = "import asyncio\n\nasync def answer(text):\n    await asyncio.Event().wait()\n"


@pytest.mark.slow
async def test_shorter_deadline_applies(start: StartAskd, tmp_path: Path) -> None:
    """After the server's deadline, or a shorter one of the client, a request gets 504 and its code is cancelled."""
    (tmp_path / "main.py").write_text(HANGING_ANSWERER)
    process = await start("serve", "main.py:answer", "--ops-port", "0", ASKD_DEADLINE="300ms")
    await process.wait_for_event("ready")
    for headers, seconds in (({}, "0.3"), ({"X-Request-Timeout": "50ms"}, "0.05"), ({"X-Request-Timeout": "9"}, "0.3")):
        response = await process.get("/ask?q=x", headers=headers)
        assert response.status == 504
        assert json.loads(response.text)["detail"].startswith(f"There was no answer within {seconds} s.")
    malformed = await process.get("/ask?q=x", headers={"X-Request-Timeout": "soon"})
    assert (malformed.status, json.loads(malformed.text)["parameter"]) == (400, "X-Request-Timeout")
    scrape = (await process.get("/metrics", ops=True)).text
    assert 'askd_answerer_duration_seconds_count{outcome="cancelled"} 3.0' in scrape
    assert "askd_answerer_in_flight 0.0" in scrape


@pytest.mark.slow
async def test_stream_deadline(start: StartAskd, tmp_path: Path) -> None:
    """The deadline limits the time between two events of a stream, which then ends with an event `error`."""
    (tmp_path / "main.py").write_text(
        "import asyncio\n\nasync def answer(text):\n    yield 'a'\n    await asyncio.Event().wait()\n"
    )
    process = await start("serve", "main.py:answer", ASKD_DEADLINE="200ms")
    await process.wait_for_event("ready")
    response = await process.get("/ask?q=x", headers={"Accept": "text/event-stream"})
    assert (response.status, response.headers["X-Accel-Buffering"]) == (200, "no")
    assert 'event: delta\ndata: "a"' in response.text
    assert '"status":504' in response.text.partition("event: error")[2]
    assert await process.wait_for_event("request", {"http.response.status_code": 504})


async def test_overload_is_rejected_at_once(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """Beyond the concurrency limit without a queue, requests get 503 with Retry-After, and probes get 200."""
    (tmp_path / "main.py").write_text(WAITING_ANSWERER)
    process = await start("serve", "main.py:answer", "--ops-port", "0", ASKD_CONCURRENCY="1", ASKD_QUEUE_SIZE="0")
    await process.wait_for_event("ready")
    first = asyncio.create_task(process.get("/ask?q=x"))
    await process.wait_for_event("asked")
    rejected = await process.get("/ask?q=y")
    assert (rejected.status, rejected.headers["Retry-After"] in {"1", "2", "3"}) == (503, True)
    assert json.loads(rejected.text)["type"] == "/docs#overloaded"
    assert (await process.get("/readyz", ops=True)).status == 200
    assert 'askd_shed_total{reason="queue_full"} 1.0' in (await process.get("/metrics", ops=True)).text
    gate.release()
    assert (await first).status == 200
    gate.release()
    assert (await process.get("/ask?q=z")).status == 200
    assert process.events("requests_shed", count=1)


async def test_identical_questions_share_one_call(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """Ten identical questions to deterministic code share one call, and `Cache-Status` shows it."""
    (tmp_path / "main.py").write_text(WAITING_ANSWERER + "\nanswer.deterministic = True\n")
    process = await start("serve", "main.py:answer", "--ops-port", "0")
    await process.wait_for_event("ready")
    pending = [asyncio.create_task(process.get("/ask?q=x")) for _ in range(10)]
    await process.wait_for_event("asked")
    async with asyncio.timeout(TIMEOUT):
        while 'askd_single_flight_total{role="follower"} 9.0' not in (await process.get("/metrics", ops=True)).text:
            continue
    gate.release()
    responses = await asyncio.gather(*pending)
    assert {response.text for response in responses} == {'{"answer":"late"}'}
    assert sum("collapsed" in response.headers["Cache-Status"] for response in responses) == 9
    cached = await process.get("/ask?q=x")
    assert cached.headers["Cache-Status"] == "askd; hit"
    assert cached.headers["Age"].isdecimal()
    assert len(process.events("asked")) == 1


async def test_rate_limit_per_client(start: StartAskd) -> None:
    """Of many requests, the burst is answered and the rest gets 429 with Retry-After; other clients are served."""
    askd = await start(ASKD_RATE_LIMIT="10/h", ASKD_RATE_BURST="4", ASKD_TRUSTED_PROXIES="127.0.0.0/8")
    await askd.wait_for_event("ready")
    responses = await asyncio.gather(*(askd.get("/ask?q=hello") for _ in range(30)))
    assert sorted(response.status for response in responses) == [200] * 4 + [429] * 26
    for rejected in (response for response in responses if response.status == 429):
        assert 300 < int(rejected.headers["Retry-After"]) <= 360
        assert rejected.headers["RateLimit"] == f'"default";r=0;t={rejected.headers["Retry-After"]}'
        assert rejected.headers["RateLimit-Policy"] == '"default";q=10;w=3600;askd-burst=4'
    other = await askd.get("/ask?q=hello", headers={"Forwarded": 'for="[2001:db8::1]:4711"'})
    assert (other.status, other.headers["RateLimit"]) == (200, '"default";r=3;t=360')
    assert (await askd.wait_for_event("request", {"client.address": "2001:db8::1"}))["http.response.status_code"] == 200
    assert 'askd_rate_limit_decisions_total{result="refused"} 26.0' in (await askd.get("/metrics")).text
    assert (await askd.get("/readyz")).status == 200
    assert await askd.stop() == 0
