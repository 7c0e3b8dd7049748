"""`askd ask` and `askd explain` as processes, against a real one: over TLS, and where they are refused."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.guards.tokens import pair
from tests.certificates import CA, issue, trusting, write

from .conftest import BOUND, WAIT, Gate, Start
from .terminal import Terminal

SLOW = WAIT + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n"
NEVER = "import asyncio\n\nasync def answer(text):\n    await asyncio.Event().wait()\n"


class Said(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it wrote for programs."""
        return json.loads(self.out)


async def askd(*arguments: str) -> Said:
    """Run a command to its end."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "service", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(BOUND):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(process.returncode, out.decode(), err.decode())


class Slow:
    """A way to a server that holds the server's first words back, the handshake's, until something is done."""

    def __init__(self, port: int, first: Callable[[], Awaitable[object]]) -> None:
        self._port = port
        self._first = first
        self.held: list[float] = []
        """For how many seconds, for each connection: from the client's first words to the server's."""

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _pass(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, forth = await asyncio.open_connection("127.0.0.1", self._port)
        forth.write(await client.read(1 << 16))
        began = time.monotonic()
        await self._first()
        self.held.append(time.monotonic() - began)
        await asyncio.gather(self._pump(client, forth), self._pump(server, back))

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()


async def test_the_handshake_of_tls_is_a_step_of_its_own(start: Start, tmp_path: Path) -> None:
    """What TLS takes is measured between connecting and asking, and told with its version; once for a connection."""
    files = write(tmp_path, issue())
    CA.cert_pem.write_to_path(str(tmp_path / "ca"))
    process = await start(ASKD_TLS_CERT=str(files.cert), ASKD_TLS_KEY=str(files.key))
    await process.event("ready")
    slow = Slow(int((await process.url()).rpartition(":")[2]), lambda: process.get("/ask?q=a", ssl=trusting()))
    async with slow as port:
        target = ("--url", f"https://localhost:{port}", "--ca-file", str(tmp_path / "ca"))
        shown = await askd("explain", "hello", *target)
        many = await askd("explain", "hello", *target, "--repeat", "3", "--keep-alive", "--json")
    assert (shown.code, shown.err) == (0, "")
    (line,) = [line for line in shown.out.splitlines() if line.startswith("TLS ")]
    assert line.endswith("s  TLS 1.3")
    assert "status 200, HTTP/1.1 over TLS 1.3" in shown.out
    first, *others = many.json["exchanges"]
    steps = [step for step in first["steps"] if step["name"] in {"name", "connect", "TLS", "request"}]
    assert [step["name"] for step in steps] == ["name", "connect", "TLS", "request"]
    ends = [step["began"] + step["seconds"] for step in steps[:-1]]
    assert [step["began"] for step in steps[1:]] == pytest.approx(ends)
    assert steps[2]["seconds"] >= slow.held[1] > 0
    assert [[step["name"] for step in each["steps"]][:2] for each in others] == [["request", "waiting"]] * 2


async def test_a_certificate_that_is_not_trusted_ends_it(start: Start, tmp_path: Path) -> None:
    """Without the CA, and under a name that is not the certificate's, it is 3 at TLS, with what to do."""
    files = write(tmp_path, issue())
    CA.cert_pem.write_to_path(str(tmp_path / "ca"))
    process = await start(ASKD_TLS_CERT=str(files.cert), ASKD_TLS_KEY=str(files.key), ASKD_HOST="127.0.0.2")
    await process.event("ready")
    url = await process.url()
    for more, mend in (((), "--ca-file"), (("--ca-file", str(tmp_path / "ca")), "under a name")):
        said = await askd("ask", "hello", "--url", url, *more)
        assert (said.code, said.out) == (3, "")
        assert said.err.startswith(f"askd: TLS: the certificate of {url.removeprefix('https://')} is not trusted (")
        assert mend in said.err


async def test_without_a_token_it_says_how_to_get_one(start: Start, tmp_path: Path) -> None:
    """A 401 is 3 at the step `token`; the mend differs where one was shown that is not known; a known one is let in."""
    token, line = pair("alice")
    (tmp_path / "tokens").write_text(line)
    (tmp_path / "mine").write_text(token)
    (tmp_path / "other").write_text(pair("bob")[0])
    process = await start(ASKD_TOKENS_FILE="tokens")
    await process.event("ready")
    url = ("--url", await process.url())
    none = await askd("ask", "hello", *url)
    other = await askd("ask", "hello", *url, "--token-file", str(tmp_path / "other"))
    for said, mend in ((none, "give one with --token-file"), (other, "see whether the server's --tokens-file has it")):
        assert (said.code, said.out) == (3, "")
        assert said.err.startswith("askd: token: ")
        assert mend in said.err
    explained = await askd("explain", "hello", *url)
    assert (explained.code, "hello → 401" in explained.out, "  auth" in explained.out) == (3, True, True)
    mine = await askd("ask", "hello", *url, "--token-file", str(tmp_path / "mine"))
    assert mine == Said(0, "Hi\n", "")
    assert token not in process.output


async def test_beyond_the_rate_it_says_when_to_ask_again(start: Start) -> None:
    """A 429 is 3 at the step `rate`, with the seconds of Retry-After, on the terminal and for programs."""
    process = await start(ASKD_RATE="1/h", ASKD_RATE_BURST="1")
    await process.event("ready")
    url = ("--url", await process.url())
    assert (await askd("ask", "hello", *url)).code == 0
    said = await askd("ask", "hello", *url)
    told = await askd("ask", "hello", *url, "--json")
    assert (said.code, said.out, told.code, told.err) == (3, "", 3, "")
    assert said.err.startswith("askd: rate: ")
    assert said.err.splitlines()[1].startswith("      ask again in 3")
    assert (told.json["step"], told.json["status"], told.json["problem"]["status"]) == ("rate", 429, 429)
    assert told.json["mend"].startswith("ask again in 3")


async def test_an_overloaded_server_is_told_of(start: Start, tmp_path: Path, gate: Gate) -> None:
    """A 503 is 3 at the step `server`, with when to ask again; its log has those in sum, so that no id is told."""
    (tmp_path / "main.py").write_text(SLOW)
    process = await start("serve", "main.py:answer", ASKD_CONCURRENCY="1", ASKD_QUEUE="0")
    await process.event("ready")
    first = asyncio.create_task(process.get("/ask?q=x"))
    await process.event("asked")
    said = await askd("ask", "y", "--url", await process.url())
    assert (said.code, said.out) == (3, "")
    fault, again = said.err.splitlines()
    assert fault.startswith("askd: server: The server is asked more than it can answer in time.")
    assert again in {f"      ask again in {seconds} s" for seconds in (1, 2, 3)}
    gate.open()
    assert (await first).status == 200


async def test_a_server_that_loads_is_told_of(start: Start, tmp_path: Path, gate: Gate) -> None:
    """Until the answerer is loaded it is 3, and the reason is not taken for overload."""
    (tmp_path / "main.py").write_text(WAIT + "wait('importing')\n\ndef answer(text):\n    return text\n")
    process = await start("serve", "main.py:answer")
    await process.event("importing")
    said = await askd("ask", "x", "--url", await process.url())
    assert said.code == 3
    assert said.err.startswith("askd: server: The answerer is being loaded.")
    assert "ask again in " in said.err
    gate.open()
    await process.event("ready")


async def test_a_cached_answer_is_told_from_a_new_one(start: Start, tmp_path: Path) -> None:
    """The timeline of the first has the code, that of the second has none, and says what the cache said."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text\n\nanswer.deterministic = True\n")
    process = await start("serve", "main.py:answer")
    await process.event("ready")
    new, cached = [await askd("explain", "x", "--url", await process.url()) for _ in range(2)]
    assert [said.code for said in (new, cached)] == [0, 0]
    assert ["\n  code " in said.out for said in (new, cached)] == [True, False]
    assert ["\ncache       askd; hit" in said.out for said in (new, cached)] == [False, True]


async def test_at_a_terminal_the_answer_is_shown_as_it_comes(start: Start, tmp_path: Path, gate: Gate) -> None:
    """The first words stand there before there are others, and what the code sends cannot control the terminal."""
    (tmp_path / "main.py").write_text(
        WAIT + "\ndef answer(text):\n    yield 'one \\x1b[2J'\n    wait('said')\n    yield 'two'\n"
    )
    process = await start("serve", "main.py:answer")
    await process.event("ready")
    terminal = await Terminal.start(tmp_path, "ask", "x", "--url", await process.url())
    try:
        await terminal.shows(lambda frame: frame[0] == "one \N{REPLACEMENT CHARACTER}[2J")
        gate.open()
        await terminal.shows(lambda frame: frame[:2] == ["one \N{REPLACEMENT CHARACTER}[2Jtwo", ""])
        assert await terminal.ended() == 0
    finally:
        await terminal.close()


async def test_past_the_deadline_it_is_told_so(start: Start, tmp_path: Path) -> None:
    """The server's 504 and the client's own time-out are both 3, and are told apart."""
    (tmp_path / "main.py").write_text(NEVER)
    process = await start("serve", "main.py:answer", ASKD_DEADLINE="300ms")
    await process.event("ready")
    url = ("--url", await process.url())
    theirs = await askd("ask", "x", *url)
    ours = await askd("ask", "x", *url, "--timeout", "200ms")
    assert (theirs.code, ours.code) == (3, 3)
    assert theirs.err.startswith("askd: deadline: There was no answer within 0.3 s.")
    assert ours.err.startswith("askd: waiting: no whole answer within 0.2 s\n      allow more with --timeout")
