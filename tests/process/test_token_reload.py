"""Tokens that change while the process serves."""

from pathlib import Path
from typing import Any

import pytest

from askd.guards.tokens import generate_token
from tests.support.askd_process import StartAskd
from tests.support.reload_helpers import save_atomically


def bearer(token: str) -> dict[str, Any]:
    """Return request options with a bearer token."""
    return {"headers": {"Authorization": f"Bearer {token}"}}


@pytest.mark.slow
async def test_tokens_are_reloaded(start: StartAskd, tmp_path: Path) -> None:
    """New tokens take effect without a restart, an invalid file is ignored, and tokens are never logged or exposed."""
    (old, old_line), (new, new_line) = generate_token("alice"), generate_token("alice")
    (tmp_path / "tokens").write_text(old_line)
    process = await start(ASKD_TOKENS_FILE="tokens", ASKD_OPS_PORT="0", ASKD_LOG_LEVEL="debug")
    await process.wait_for_event("ready")

    async def statuses() -> list[int]:
        return [(await process.get("/ask?q=hello", **options)).status for options in ({}, bearer(old), bearer(new))]

    assert await statuses() == [401, 200, 401]
    save_atomically(tmp_path / "tokens", f"{old_line}\n{new_line}\n")
    await process.wait_for_event("tokens_reloaded", tokens=2, callers=1)
    assert await statuses() == [401, 200, 200]
    save_atomically(tmp_path / "tokens", new)
    await process.wait_for_event("tokens_reload_failed")
    assert await statuses() == [401, 200, 200]
    save_atomically(tmp_path / "tokens", new_line)
    await process.wait_for_event("tokens_reloaded", tokens=1)
    assert await statuses() == [401, 401, 200]
    scrape = (await process.get("/metrics", ops=True)).text
    assert 'askd_tokens_reloads_total{result="failed"} 1.0' in scrape
    assert 'askd_caller_requests_total{caller="alice"} 6.0' in scrape
    assert await process.stop() == 0
    assert len(process.events("request", caller="alice")) == 6
    for secret in (old, new, old_line.split()[1]):
        assert secret not in process.output + scrape


async def test_invalid_token_file_ends_the_start(start: StartAskd, tmp_path: Path) -> None:
    """A token file that is invalid at the start ends the process with 2 and an error in one line."""
    (tmp_path / "bad").write_text("not a token")
    process = await start(ASKD_TOKENS_FILE="bad")
    assert await process.wait_for_exit() == 2
    (line,) = [line for line in process.output.splitlines() if line.startswith("askd: ")]
    assert "bad:" in line
    assert "Traceback" not in process.output
