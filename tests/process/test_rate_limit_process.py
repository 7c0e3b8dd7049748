"""Rate limit of the process: its headers, its scope and its metrics."""

import asyncio

from tests.support.askd_process import StartAskd


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
