"""Record the first commands of the tutorial in a real terminal session, as an animated SVG.

The commands and the code are read from docs/tutorial.md and run, so the picture shows their output of today.
"""

import html
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
PORT = "2124"
"""The port of the recording, which prints the tutorial's port instead."""
COMMAND_PAUSE = 1.2
"""Seconds before the output of a command appears."""
BANNER_LINES = 4
"""Lines that the server prints at its start, before its log."""
LINE_HEIGHT, WIDTH = 20, 760
STYLE = """
text { font: 13px ui-monospace, Menlo, Consolas, monospace; white-space: pre; fill: #1c1b19; }
rect { fill: #f3f1ec; } .command { fill: #0b6a61; font-weight: 600; }
g { opacity: 0; animation: appear 0.01s linear forwards; }
@keyframes appear { to { opacity: 1; } }
@media (prefers-reduced-motion: reduce) { g { opacity: 1; animation: none; } }
@media (prefers-color-scheme: dark) { text { fill: #eceae5; } rect { fill: #191b1c; } .command { fill: #67cdbf; } }
"""


def record_tutorial() -> str:
    """Run the commands of the tutorial's first two sections. Returns the SVG; raises RuntimeError if one fails."""
    text = TUTORIAL.read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[0]
    commands = re.findall(r"^    \$ (curl 'localhost.*|askd explain .*)$", text.partition("## 3.")[0], re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "answer.py").write_text(code, encoding="utf-8")
        terminal, terminal_of_server = pty.openpty()  # the banner is only for terminals
        server = subprocess.Popen(
            [sys.executable, "-m", "askd"],
            cwd=folder,
            env=_environment(),
            stdout=terminal_of_server,
            stderr=terminal_of_server,
        )
        try:
            _wait_until_ready()
            banner = "\n".join(os.read(terminal, 4096).decode().splitlines()[:BANNER_LINES])
            session = [("askd", banner)] + [(command, _run(command, folder)) for command in commands]
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
            os.close(terminal)
            os.close(terminal_of_server)
    return _draw([(command, output.replace(PORT, "2024").replace("\r", "")) for command, output in session])


def _environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "ASKD_PORT": PORT, "ASKD_DRAIN_DELAY": "0", "NO_COLOR": "1", "PATH": path}


def _wait_until_ready() -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://localhost:{PORT}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("askd did not start within 30 s")


def _run(command: str, folder: str) -> str:
    words = [word.replace("localhost:2024", f"localhost:{PORT}") for word in shlex.split(command)]
    if words[0] == "askd":
        words[:1] = [sys.executable, "-m", "askd"]
        words += ["--url", f"http://localhost:{PORT}"]
    elif words[0] == "curl":
        words.insert(1, "--silent")
    result = subprocess.run(words, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{command!r} ended with {result.returncode}: {result.stdout}{result.stderr}")
    return result.stdout


def _draw(session: list[tuple[str, str]]) -> str:
    groups, y, delay = [], 30, 0.3
    for command, output in session:
        lines = [f'<text class="command" x="16" y="{y}">$ {html.escape(command)}</text>']
        groups.append(f'<g style="animation-delay: {delay:.1f}s">{"".join(lines)}</g>')
        delay += COMMAND_PAUSE
        lines = []
        for line in output.rstrip("\n").splitlines():
            y += LINE_HEIGHT
            lines.append(f'<text x="16" y="{y}">{html.escape(line)}</text>')
        groups.append(f'<g style="animation-delay: {delay:.1f}s">{"".join(lines)}</g>')
        delay += COMMAND_PAUSE
        y += LINE_HEIGHT * 3 // 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}">'
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{y}" rx="8"/>{"".join(groups)}</svg>\n'
    )
