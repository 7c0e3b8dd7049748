"""Who may ask: tokens that change while the process serves."""

from pathlib import Path
from typing import Any

from service.guards.tokens import pair

from .conftest import Start
from .reloads import save


def bearer(token: str) -> dict[str, Any]:
    """The header that shows a token."""
    return {"headers": {"Authorization": f"Bearer {token}"}}


async def test_tokens_rotate_while_it_serves(start: Start, tmp_path: Path) -> None:
    """New tokens count without a restart, a broken file changes nothing, and no token is ever in the log or metrics."""
    (old, old_line), (new, new_line) = pair("alice"), pair("alice")
    (tmp_path / "tokens").write_text(old_line)
    process = await start(ASKD_TOKENS_FILE="tokens", ASKD_OPS_PORT="0", ASKD_LOG_LEVEL="debug")
    await process.event("ready")

    async def statuses() -> list[int]:
        return [(await process.get("/ask?q=hello", **more)).status for more in ({}, bearer(old), bearer(new))]

    assert await statuses() == [401, 200, 401]
    save(tmp_path / "tokens", f"{old_line}\n{new_line}\n")
    await process.event("tokens read again", tokens=2, names=1)
    assert await statuses() == [401, 200, 200]
    save(tmp_path / "tokens", new)
    await process.event("the changed tokens are faulty, the old ones stay")
    assert await statuses() == [401, 200, 200]
    save(tmp_path / "tokens", new_line)
    await process.event("tokens read again", tokens=1)
    assert await statuses() == [401, 401, 200]
    scrape = (await process.get("/metrics", ops=True)).text
    assert 'askd_tokens_reloads_total{result="failed"} 1.0' in scrape
    assert 'askd_caller_requests_total{caller="alice"} 6.0' in scrape
    assert await process.stop() == 0
    assert len(process.events("exchange", caller="alice")) == 6
    for secret in (old, new, old_line.split()[1]):
        assert secret not in process.output + scrape


async def test_a_faulty_file_does_not_start(start: Start, tmp_path: Path) -> None:
    """What cannot be read at the start ends it with 2 and a line for a person."""
    (tmp_path / "bad").write_text("what is this")
    process = await start(ASKD_TOKENS_FILE="bad")
    assert await process.ended() == 2
    (line,) = [line for line in process.output.splitlines() if line.startswith("askd: ")]
    assert "bad:" in line
    assert "Traceback" not in process.output
