"""From the first moment to the first answer: what is refused and shown meanwhile, and what ends the process."""

import re
import signal
from pathlib import Path

import pytest

from .conftest import WAIT, Gate, Start
from .terminal import Terminal

BAR = re.compile(r"(█*░*) +(\d+)%  read ([\d,]+) entries(, building the index)?  \d+s")
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


@pytest.fixture
def large(tmp_path: Path) -> str:
    """Write a book that takes a second or more to load."""
    entries = (f"- ask: [What is item {n}?, Tell me of thing {n}]\n  answer: Item {n} of all.\n" for n in range(80_000))
    (tmp_path / "book.yaml").write_text("".join(entries))
    return "book.yaml"


@pytest.mark.parametrize(("command", "then"), [("serve", " ready "), ("check", "entries        80,000")])
async def test_a_large_book_has_a_bar_at_a_terminal(large: str, tmp_path: Path, command: str, then: str) -> None:
    """One line below the log grows with the share, within 80 columns, and is gone once the book is loaded."""
    terminal = await Terminal.start(tmp_path, command, large)
    try:
        frame = await terminal.shows(lambda frame: any(map(BAR.fullmatch, frame)))
        bar, percent, _, _ = next(filter(None, map(BAR.fullmatch, frame))).groups()
        assert (len(bar), bar.count("█")) == (24, pytest.approx(int(percent) * 24 / 100, abs=1))
        await terminal.shows(lambda frame: any(then in line for line in frame))
        if command == "serve":
            terminal.type("\x03")
        assert await terminal.ended() == 0
        shares = [int(match[2]) for shown in terminal.frames for match in map(BAR.fullmatch, shown) if match]
        assert shares == sorted(shares)
        assert not any("█" in line or "░" in line for line in terminal.frames[-1])
    finally:
        await terminal.close()


async def test_a_large_book_says_how_far_it_is_to_probes(start: Start, large: str) -> None:
    """Until it is loaded, /readyz?verbose has entries and percent; the log has lines, and no bar."""
    process = await start("serve", large, "--ops-port", "0")
    await process.event("listening")
    while (reply := await process.get("/readyz?verbose", ops=True)).status == 503 and "%)" not in reply.text:
        continue
    assert re.search(r"read [\d,]+ entries(, building the index)? \(\d+%\)", reply.text)
    await process.event("ready")
    assert (await process.get("/readyz?verbose", ops=True)).status == 200
    assert "█" not in process.output


async def test_without_a_terminal_the_log_says_how_far_it_is(start: Start, tmp_path: Path, gate: Gate) -> None:
    """A load that takes longer than three seconds has a line every three seconds, and none when it is over."""
    (tmp_path / "main.py").write_text(SLOW_IMPORT)
    process = await start("serve", "main.py:answer")
    line = await process.event("loading")
    assert (line["progress"], "percent" in line, line["seconds"] >= 3.0) == ("importing main.py:answer", False, True)
    assert "importing main.py:answer" in (await process.get("/readyz?verbose")).text
    gate.open()
    await process.event("ready")
    assert await process.stop() == 0
    assert process.events("ready")[0]["timestamp"] > process.events("loading")[-1]["timestamp"]


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
