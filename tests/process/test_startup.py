"""Start of the process: probes and progress during the load, the banner, and errors that end it."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.askd_process import TIMEOUT, WAITING_CODE, NamedPipeGate, StartAskd
from tests.support.terminal import Terminal

BAR = re.compile(r"(█*░*) +(\d+)%  read ([\d,]+) entries(, building the index)?  \d+s")
SLOW_IMPORT = WAITING_CODE + "wait('importing')\n\ndef answer(text):\n    return text\n"


async def test_probes_during_the_load(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """During the load, questions and readiness get 503 with Retry-After, liveness gets 200."""
    (tmp_path / "main.py").write_text(SLOW_IMPORT)
    process = await start("serve", "main.py:answer", "--ops-port", "0")
    await process.wait_for_event("importing")
    for path, ops in (("/ask?q=x", False), ("/readyz", True), ("/startupz", True)):
        response = await process.get(path, ops=ops)
        assert response.status == 503
        assert int(response.headers["Retry-After"]) >= 1
        assert response.headers["Content-Type"].startswith("application/problem+json")
    assert (await process.get("/livez", ops=True)).status == 200
    gate.release()
    await process.wait_for_event("ready")
    for path, ops in (("/ask?q=x", False), ("/readyz", True), ("/startupz", True), ("/livez", True)):
        assert (await process.get(path, ops=ops)).status == 200


async def test_probes_on_the_main_port(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """Without an ops port, the probes on the main port behave the same."""
    (tmp_path / "main.py").write_text(SLOW_IMPORT)
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("importing")
    statuses = [(await process.get(path)).status for path in ("/ask?q=x", "/readyz", "/startupz", "/livez")]
    assert statuses == [503, 503, 503, 200]
    gate.release()
    await process.wait_for_event("ready")
    assert (await process.get("/readyz")).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_during_the_load(
    start: StartAskd, tmp_path: Path, gate: NamedPipeGate, number: signal.Signals
) -> None:
    """A signal during the load ends the process without waiting for the load."""
    (tmp_path / "main.py").write_text(SLOW_IMPORT)
    process = await start("serve", "main.py:answer", ASKD_SHUTDOWN_TIMEOUT="1")
    await process.wait_for_event("importing")
    assert await process.stop(number) == 0


BANNER = re.compile(
    r"askd \S+ serves main\.py:answer \(function\)\n"
    r"URL:    (http://127\.0\.0\.1:\d+)\n"
    r"Docs:   \1/docs\n"
    r"Reload: (on|off)\. Press Ctrl-C to stop\.\n"
)


@pytest.mark.parametrize("arguments", [(), ("--reload",)])
async def test_terminal_shows_a_banner_and_changed_settings(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A terminal shows the banner and the settings that differ from their defaults, instead of log events."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text\n")
    arguments = ("serve", "main.py:answer", "--host", "127.0.0.1", *arguments)
    terminal = await Terminal.start(tmp_path, *arguments, rows=40, columns=200, NO_COLOR="1")
    try:
        screen = "\n".join(await terminal.wait_for_screen(lambda lines: any(" settings " in line for line in lines)))
        banner = BANNER.search(screen)
        assert banner, screen
        assert banner[2] == ("on" if "--reload" in arguments else "off")
        terminal.press_keys("\x03")
        assert await terminal.wait_for_exit() == 0
        log = "\n".join(terminal.screens[-1])
        assert "drain_delay=" in log
        assert "max_connections=" not in log
        assert not re.search(r"\] (listening|ready|shutdown_step) ", log), log
        assert "stopped" in log
    finally:
        await terminal.close()


@pytest.fixture
def large_book(tmp_path: Path) -> str:
    """Write a book that takes a second or more to load."""
    entries = (f"- ask: [Where is item {n}?, Describe thing {n}]\n  answer: Item {n} of all.\n" for n in range(80_000))
    (tmp_path / "book.yaml").write_text("".join(entries))
    return "book.yaml"


@pytest.mark.parametrize(
    ("command", "last_text"), [("serve", "Press Ctrl-C to stop."), ("check", "entries        80,000")]
)
@pytest.mark.slow
async def test_terminal_shows_a_progress_bar(large_book: str, tmp_path: Path, command: str, last_text: str) -> None:
    """A line below the log shows the progress within 80 columns, and disappears when the book is loaded."""
    terminal = await Terminal.start(tmp_path, command, large_book, rows=100)  # what `check` prints fits on the screen
    try:
        frame = await terminal.wait_for_screen(lambda frame: any(map(BAR.fullmatch, frame)))
        bar, percent, _, _ = next(filter(None, map(BAR.fullmatch, frame))).groups()
        assert (len(bar), bar.count("█")) == (24, pytest.approx(int(percent) * 24 / 100, abs=1))
        await terminal.wait_for_screen(lambda frame: any(last_text in line for line in frame))
        if command == "serve":
            terminal.press_keys("\x03")
        assert await terminal.wait_for_exit() == 0
        percents = [int(match[2]) for screen in terminal.screens for match in map(BAR.fullmatch, screen) if match]
        assert percents == sorted(percents)
        assert not any("█" in line or "░" in line for line in terminal.screens[-1])
    finally:
        await terminal.close()


@pytest.mark.slow
async def test_probes_show_the_progress(start: StartAskd, large_book: str) -> None:
    """During the load, /readyz?verbose shows entries and percent; without a terminal, the log has no bar."""
    process = await start("serve", large_book, "--ops-port", "0")
    await process.wait_for_event("listening")
    while (response := await process.get("/readyz?verbose", ops=True)).status == 503 and "%)" not in response.text:
        continue
    assert re.search(r"read [\d,]+ entries(, building the index)? \(\d+%\)", response.text)
    await process.wait_for_event("ready")
    assert (await process.get("/readyz?verbose", ops=True)).status == 200
    assert "█" not in process.output


@pytest.mark.slow
async def test_progress_is_logged(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """A load of more than three seconds is logged every three seconds, and not after its end."""
    (tmp_path / "main.py").write_text(SLOW_IMPORT)
    process = await start("serve", "main.py:answer")
    line = await process.wait_for_event("answerer_loading")
    assert (line["progress"], "percent" in line, line["duration_ms"] >= 3000) == (
        "importing main.py:answer",
        False,
        True,
    )
    assert "importing main.py:answer" in (await process.get("/readyz?verbose")).text
    gate.release()
    await process.wait_for_event("ready")
    assert await process.stop() == 0
    assert process.events("ready")[0]["timestamp"] > process.events("answerer_loading")[-1]["timestamp"]


async def test_failed_load_ends_the_process(start: StartAskd, tmp_path: Path) -> None:
    """Code that cannot be imported ends the process with 2, and the log has the location and the error."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text\n\nimport nosuchmodule\n")
    process = await start("serve", "main.py:answer")
    assert await process.wait_for_exit() == 2
    (failure,) = process.events("answerer_load_failed")
    assert "nosuchmodule" in failure["error"]
    assert "main.py:4" in failure["error"]
    assert not process.events("ready")


@pytest.mark.parametrize("spec", ["absent.py:answer", "main.py:anwser", "absent.yaml", "nosuch.module:answer"])
async def test_missing_answerer_ends_the_process(start: StartAskd, tmp_path: Path, spec: str) -> None:
    """A missing file or name ends the process with 2, and with an error that names it, without a traceback."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text\n")
    process = await start("serve", spec)
    assert await process.wait_for_exit() == 2
    assert spec.partition(":")[0] in process.output
    assert "Traceback" not in process.output


async def test_invalid_book_ends_the_process(start: StartAskd, tmp_path: Path) -> None:
    """An invalid book ends the process with 2, and the error has the file and the line."""
    (tmp_path / "book.yaml").write_text("- ask: hello\n  answer: Hi\n- ask: bye\n  reply: Ciao\n")
    process = await start("serve", "book.yaml")
    assert await process.wait_for_exit() == 2
    (failure,) = process.events("answerer_load_failed")
    assert "book.yaml:3" in failure["error"]


async def test_invalid_settings_end_the_process(start: StartAskd) -> None:
    """Every invalid setting is reported in one line, and the process exits with 2."""
    process = await start("--threads", "0", ASKD_DRAIN_DELAY="soon")
    assert await process.wait_for_exit() == 2
    assert [line.partition(": expected")[0] for line in process.output.splitlines()] == [
        "askd: --threads='0'",
        "askd: ASKD_DRAIN_DELAY='soon'",
    ]


def run_askd(script: str, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """Start askd through a shell script, in which "$@" is the command line of askd."""
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "askd", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize(("closed", "first"), [("2>&-", 2), ("<&- >&- 2>&-", 0)])
@pytest.mark.slow
def test_closed_standard_streams(tmp_path: Path, closed: str, first: int) -> None:
    """With closed standard streams, askd serves, and no log line gets into a file or a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = run_askd(f'exec "$@" {closed}', "serve", "--port", str(port), "--drain-delay", "0", cwd=tmp_path)
    try:
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                with contextlib.suppress(subprocess.TimeoutExpired):
                    pytest.fail(f"askd has exited with {process.wait(0.05)}")
        with connection:
            for _ in range(2):
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert all(str(Path(f"/proc/{process.pid}/fd/{n}").readlink()) == "/dev/null" for n in range(first, 3))
        process.terminate()
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_diagnostic_signals_during_the_imports(number: signal.Signals) -> None:
    """SIGUSR1 and SIGUSR2 do not end the process before the server handles them."""
    code = (
        "import os, sys; from askd import __main__ as entry;"
        "entry.handle_early_signals(); os.kill(os.getpid(), int(sys.argv.pop())); sys.exit(entry.main())"
    )
    command = [sys.executable, "-c", code, "--version", str(int(number))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.split()[0]) == (0, "askd")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a process namespace needs root")
def test_sigterm_to_the_first_process_of_a_container(tmp_path: Path) -> None:
    """As process 1, which lacks a default action, askd ends at a SIGTERM during its imports."""
    code = "import os, signal; from askd.__main__ import *; handle_early_signals(); os.kill(1, signal.SIGTERM); main()"
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", code]
    assert subprocess.run(command, cwd=tmp_path, timeout=TIMEOUT, check=False).returncode == 128 + signal.SIGTERM


@pytest.mark.slow
async def test_closed_terminal_drains(start: StartAskd) -> None:
    """SIGHUP shuts down gracefully, as SIGTERM does."""
    process = await start()
    await process.wait_for_event("ready")
    assert await process.stop(signal.SIGHUP) == 0
    assert process.events("draining", signal="SIGHUP")


@pytest.mark.slow
def test_nohup_is_respected(tmp_path: Path) -> None:
    """A server that was started by nohup goes on when the terminal is closed."""
    process = run_askd('trap "" HUP; exec "$@"', "serve", "--port", "0", cwd=tmp_path)
    try:
        assert process.stderr
        assert any('"ready"' in line for line in process.stderr)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
        assert '"signal":"SIGTERM"' in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
