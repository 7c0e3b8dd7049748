"""`askd ask` and `askd explain` as processes: over TLS, with errors of the server, and on a terminal."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from askd.guards.tokens import generate_token
from tests.support.askd_process import TIMEOUT, WAITING_CODE, NamedPipeGate, StartAskd
from tests.support.certificates import CA, client_context, issue_certificate, write_certificate
from tests.support.terminal import Terminal

WAITING_ANSWERER = WAITING_CODE + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n"
HANGING_ANSWERER = "import asyncio\n\nasync def answer(text):\n    await asyncio.Event().wait()\n"


class Result(NamedTuple):
    """Exit code and output of a command."""

    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output as JSON."""
        return json.loads(self.out)


async def run_askd(*arguments: str) -> Result:
    """Run a command, and return its result."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "askd", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(TIMEOUT):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Result(process.returncode, stdout.decode(), stderr.decode())


class DelayingProxy:
    """Proxy that delays the first data of the server, which is its TLS handshake, until `before_first` has returned."""

    def __init__(self, port: int, before_first: Callable[[], Awaitable[object]]) -> None:
        self._port = port
        self._before_first = before_first
        self._forwarding: set[asyncio.Task[None] | None] = set()
        self.delays: list[float] = []
        """Seconds of delay, one for each connection."""

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        await asyncio.gather(*filter(None, self._forwarding))  # Python 3.11 does not wait for them

    async def _forward(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._forwarding.add(asyncio.current_task())
        server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        to_server.write(await client.read(1 << 16))
        started = time.monotonic()
        await self._before_first()
        self.delays.append(time.monotonic() - started)
        await asyncio.gather(self._pump(client, to_server), self._pump(server, to_client))

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
        writer.close()


async def test_tls_handshake_is_a_separate_step(start: StartAskd, tmp_path: Path) -> None:
    """The TLS handshake is measured between connect and request, and shown with its version, once per connection."""
    files = write_certificate(tmp_path, issue_certificate())
    CA.cert_pem.write_to_path(str(tmp_path / "ca"))
    process = await start(ASKD_TLS_CERT=str(files.cert), ASKD_TLS_KEY=str(files.key))
    await process.wait_for_event("ready")
    proxy = DelayingProxy(
        int((await process.url()).rpartition(":")[2]), lambda: process.get("/ask?q=a", ssl=client_context())
    )
    async with proxy as port:
        target = ("--url", f"https://localhost:{port}", "--ca-file", str(tmp_path / "ca"))
        single = await run_askd("explain", "hello", *target)
        repeated = await run_askd("explain", "hello", *target, "--repeat", "3", "--keep-alive", "--json")
    assert (single.code, single.err) == (0, "")
    (line,) = [line for line in single.out.splitlines() if line.startswith("TLS ")]
    assert line.endswith("s  TLS 1.3")
    assert "status 200, HTTP/1.1 over TLS 1.3" in single.out
    first, *others = repeated.json["requests"]
    steps = [step for step in first["steps"] if step["name"] in {"name", "connect", "TLS", "request"}]
    assert [step["name"] for step in steps] == ["name", "connect", "TLS", "request"]
    ends = [step["began"] + step["seconds"] for step in steps[:-1]]
    assert [step["began"] for step in steps[1:]] == pytest.approx(ends)
    assert steps[2]["seconds"] >= proxy.delays[1] > 0
    assert [[step["name"] for step in other["steps"]][:2] for other in others] == [["request", "waiting"]] * 2


async def test_untrusted_certificate(start: StartAskd, tmp_path: Path) -> None:
    """An unknown CA and a wrong host name end the command with 3 at the step TLS, with a hint."""
    files = write_certificate(tmp_path, issue_certificate())
    CA.cert_pem.write_to_path(str(tmp_path / "ca"))
    process = await start(ASKD_TLS_CERT=str(files.cert), ASKD_TLS_KEY=str(files.key), ASKD_HOST="127.0.0.2")
    await process.wait_for_event("ready")
    url = await process.url()
    for options, hint in (((), "--ca-file"), (("--ca-file", str(tmp_path / "ca")), "use a host name")):
        result = await run_askd("ask", "hello", "--url", url, *options)
        assert (result.code, result.out) == (3, "")
        assert result.err.startswith(f"askd: TLS: the certificate of {url.removeprefix('https://')} is not trusted (")
        assert hint in result.err


async def test_missing_or_unknown_token(start: StartAskd, tmp_path: Path) -> None:
    """A 401 ends the command with 3 at the step `token`, with different hints for a missing and an unknown token."""
    token, line = generate_token("alice")
    (tmp_path / "tokens").write_text(line)
    (tmp_path / "mine").write_text(token)
    (tmp_path / "other").write_text(generate_token("bob")[0])
    process = await start(ASKD_TOKENS_FILE="tokens")
    await process.wait_for_event("ready")
    url = ("--url", await process.url())
    missing = await run_askd("ask", "hello", *url)
    unknown = await run_askd("ask", "hello", *url, "--token-file", str(tmp_path / "other"))
    for result, hint in (
        (missing, "pass a token with --token-file"),
        (unknown, "check that the server's --tokens-file contains it"),
    ):
        assert (result.code, result.out) == (3, "")
        assert result.err.startswith("askd: token: ")
        assert hint in result.err
    explained = await run_askd("explain", "hello", *url)
    assert (explained.code, "hello → 401" in explained.out, "  auth" in explained.out) == (3, True, True)
    accepted = await run_askd("ask", "hello", *url, "--token-file", str(tmp_path / "mine"))
    assert accepted == Result(0, "Hi\n", "")
    assert token not in process.output


@pytest.mark.slow
async def test_rate_limit_shows_when_to_retry(start: StartAskd) -> None:
    """A 429 ends the command with 3 at the step `rate_limit`, with the seconds of Retry-After, as text and as JSON."""
    process = await start(ASKD_RATE_LIMIT="1/h", ASKD_RATE_BURST="1")
    await process.wait_for_event("ready")
    url = ("--url", await process.url())
    assert (await run_askd("ask", "hello", *url)).code == 0
    result = await run_askd("ask", "hello", *url)
    as_json = await run_askd("ask", "hello", *url, "--json")
    assert (result.code, result.out, as_json.code, as_json.err) == (3, "", 3, "")
    assert result.err.startswith("askd: rate_limit: ")
    assert result.err.splitlines()[1].startswith("      retry in 3")
    assert (as_json.json["step"], as_json.json["status"], as_json.json["problem"]["status"]) == ("rate_limit", 429, 429)
    assert as_json.json["hint"].startswith("retry in 3")


@pytest.mark.slow
async def test_overloaded_server(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """A 503 ends the command with 3 at the step `server`, with the seconds of Retry-After and without a request id."""
    (tmp_path / "main.py").write_text(WAITING_ANSWERER)
    process = await start("serve", "main.py:answer", ASKD_CONCURRENCY="1", ASKD_QUEUE_SIZE="0")
    await process.wait_for_event("ready")
    first = asyncio.create_task(process.get("/ask?q=x"))
    await process.wait_for_event("asked")
    result = await run_askd("ask", "y", "--url", await process.url())
    assert (result.code, result.out) == (3, "")
    error, hint = result.err.splitlines()
    assert error.startswith("askd: server: The server is overloaded.")
    assert hint in {f"      retry in {seconds} s" for seconds in (1, 2, 3)}
    gate.release()
    assert (await first).status == 200


@pytest.mark.slow
async def test_loading_server(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """During the load of the answerer, the command ends with 3, and the error differs from overload."""
    (tmp_path / "main.py").write_text(WAITING_CODE + "wait('importing')\n\ndef answer(text):\n    return text\n")
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("importing")
    result = await run_askd("ask", "x", "--url", await process.url())
    assert result.code == 3
    assert result.err.startswith("askd: server: The answerer is still loading.")
    assert "retry in " in result.err
    gate.release()
    await process.wait_for_event("ready")


@pytest.mark.slow
async def test_cached_answer(start: StartAskd, tmp_path: Path) -> None:
    """The timeline of the first answer has the code, that of the second has a cache hit instead."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text\n\nanswer.deterministic = True\n")
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    uncached, cached = [await run_askd("explain", "x", "--url", await process.url()) for _ in range(2)]
    assert [result.code for result in (uncached, cached)] == [0, 0]
    assert ["\n  answerer" in result.out for result in (uncached, cached)] == [True, False]
    assert ["\ncache         askd; hit" in result.out for result in (uncached, cached)] == [False, True]


async def test_terminal_shows_the_stream(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """Deltas are shown as they arrive, and control characters in them are replaced."""
    (tmp_path / "main.py").write_text(
        WAITING_CODE + "\ndef answer(text):\n    yield 'one \\x1b[2J'\n    wait('sent')\n    yield 'two'\n"
    )
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    terminal = await Terminal.start(tmp_path, "ask", "x", "--url", await process.url())
    try:
        await terminal.wait_for_screen(lambda frame: frame[0] == "one \N{REPLACEMENT CHARACTER}[2J")
        gate.release()
        await terminal.wait_for_screen(lambda frame: frame[:2] == ["one \N{REPLACEMENT CHARACTER}[2Jtwo", ""])
        assert await terminal.wait_for_exit() == 0
    finally:
        await terminal.close()


@pytest.mark.slow
async def test_deadline_and_client_timeout(start: StartAskd, tmp_path: Path) -> None:
    """The server's 504 and the client's time-out end the command with 3, with different errors."""
    (tmp_path / "main.py").write_text(HANGING_ANSWERER)
    process = await start("serve", "main.py:answer", ASKD_DEADLINE="300ms")
    await process.wait_for_event("ready")
    url = ("--url", await process.url())
    server_side = await run_askd("ask", "x", *url)
    client_side = await run_askd("ask", "x", *url, "--timeout", "200ms")
    assert (server_side.code, client_side.code) == (3, 3)
    assert server_side.err.startswith("askd: deadline: There was no answer within 0.3 s.")
    assert client_side.err.startswith("askd: waiting: no complete response within 0.2 s\n      increase --timeout")
