"""From the first moment to the first answer: what is refused meanwhile, and what ends the process."""

import signal
from pathlib import Path

import pytest

from .conftest import WAIT, Gate, Start

SLOW_IMPORT = WAIT + "wait('importing')\n\ndef answer(text):\n    return text\n"


async def test_while_it_loads_it_lives_and_is_not_ready(start: Start, tmp_path: Path, gate: Gate) -> None:
    """Until the answerer is loaded questions and readiness are 503 with Retry-After, liveness is 200."""
    (tmp_path / "main.py").write_text(SLOW_IMPORT)
    process = await start("serve", "main.py:answer", "--ops-port", "0")
    await process.event("importing")
    for path, ops in (("/ask?q=x", False), ("/readyz", True), ("/startupz", True)):
        reply = await process.get(path, ops=ops)
        assert reply.status == 503
        assert int(reply.headers["Retry-After"]) >= 1
        assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert (await process.get("/livez", ops=True)).status == 200
    gate.open()
    await process.event("ready")
    for path, ops in (("/ask?q=x", False), ("/readyz", True), ("/startupz", True), ("/livez", True)):
        assert (await process.get(path, ops=ops)).status == 200


async def test_probes_on_the_port_for_questions(start: Start, tmp_path: Path, gate: Gate) -> None:
    """Without an ops port the same holds on the one port there is, while code is imported."""
    (tmp_path / "main.py").write_text(SLOW_IMPORT)
    process = await start("serve", "main.py:answer")
    await process.event("importing")
    statuses = [(await process.get(path)).status for path in ("/ask?q=x", "/readyz", "/startupz", "/livez")]
    assert statuses == [503, 503, 503, 200]
    gate.open()
    await process.event("ready")
    assert (await process.get("/readyz")).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_while_it_loads_ends_it(
    start: Start, tmp_path: Path, gate: Gate, number: signal.Signals
) -> None:
    """Who stops a server that is still loading does not wait for the load."""
    (tmp_path / "main.py").write_text(SLOW_IMPORT)
    process = await start("serve", "main.py:answer", ASKD_SHUTDOWN_TIMEOUT="1")
    await process.event("importing")
    assert await process.stop(number) == 0


async def test_a_failed_load_ends_it(start: Start, tmp_path: Path) -> None:
    """Code that cannot be imported ends the process with 2, and the log names file and fault."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text\n\nimport nosuchmodule\n")
    process = await start("serve", "main.py:answer")
    assert await process.ended() == 2
    (failed,) = process.events("load failed")
    assert "nosuchmodule" in failed["error"]
    assert "main.py:4" in failed["error"]
    assert not process.events("ready")


@pytest.mark.parametrize("spec", ["absent.py:answer", "main.py:anwser", "absent.yaml", "nosuch.module:answer"])
async def test_a_spec_that_leads_nowhere_ends_it(start: Start, tmp_path: Path, spec: str) -> None:
    """A file or name that is not there ends the process with 2 and without a traceback; the fault names it."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text\n")
    process = await start("serve", spec)
    assert await process.ended() == 2
    assert spec.partition(":")[0] in process.output
    assert "Traceback" not in process.output


async def test_a_broken_book_ends_it(start: Start, tmp_path: Path) -> None:
    """A book with a fault is refused with file and line."""
    (tmp_path / "book.yaml").write_text("- ask: hello\n  answer: Hi\n- ask: bye\n  reply: Ciao\n")
    process = await start("serve", "book.yaml")
    assert await process.ended() == 2
    (failed,) = process.events("load failed")
    assert "book.yaml:4" in failed["error"]


async def test_faulty_settings_end_it(start: Start) -> None:
    """Every faulty setting is a line on standard error, before anything is opened; exit code 2."""
    process = await start("--threads", "0", ASKD_DRAIN_DELAY="soon")
    assert await process.ended() == 2
    assert [line.partition(": give")[0] for line in process.output.splitlines()] == [
        "askd: --threads='0'",
        "askd: ASKD_DRAIN_DELAY='soon'",
    ]
