"""The rate of the real process: told on every answer, held for each client, counted."""

import asyncio

from .conftest import Start


async def test_a_client_is_held_to_its_rate(start: Start) -> None:
    """Of many questions at once exactly the burst is answered; the rest is 429 with when to come back; others go on."""
    askd = await start(ASKD_RATE="10/h", ASKD_RATE_BURST="4", ASKD_TRUSTED_PROXIES="127.0.0.0/8")
    await askd.event("ready")
    replies = await asyncio.gather(*(askd.get("/ask?q=hello") for _ in range(30)))
    assert sorted(reply.status for reply in replies) == [200] * 4 + [429] * 26
    for refused in (reply for reply in replies if reply.status == 429):
        assert 300 < int(refused.headers["Retry-After"]) <= 360
        assert refused.headers["RateLimit"] == f'"default";r=0;t={refused.headers["Retry-After"]}'
        assert refused.headers["RateLimit-Policy"] == '"default";q=10;w=3600;askd-burst=4'
    other = await askd.get("/ask?q=hello", headers={"Forwarded": 'for="[2001:db8::1]:4711"'})
    assert (other.status, other.headers["RateLimit"]) == (200, '"default";r=3;t=360')
    assert (await askd.event("exchange", client="2001:db8::1"))["status"] == 200
    assert 'askd_rate_results_total{result="refused"} 26.0' in (await askd.get("/metrics")).text
    assert (await askd.get("/readyz")).status == 200
    assert await askd.stop() == 0
