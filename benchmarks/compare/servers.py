"""The servers that are measured: how each is started, what it must answer, and that it is ended in the end."""

import contextlib
import dataclasses
import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path
from typing import Final

PEERS: Final = Path(__file__).parent / "peers"
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
UNUSUAL: Final = frozenset({"PYTHONDONTWRITEBYTECODE"})
"""Variables that servers do not inherit: modules would be compiled at each start, as nobody's are who runs a server."""
START_LIMIT: Final = 30.0
"""Seconds that a server may take from exec to its first 200."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """One server to measure. `{port}` and `{ops}` in `command`, URLs and `environ` become free ports."""

    name: str
    command: str
    url: str
    ready: str = ""
    """URL that is 200 as soon as the server can answer; empty: `url` itself."""
    answer: object = None
    """The JSON that `url` must give; None: any 200 will do."""
    environ: dict[str, str] = dataclasses.field(default_factory=dict)
    beside: str = ""
    """Command of what runs beside it, on the port `{sink}`, which `environ` may name; empty: nothing does."""


ASKD: Final = Server(
    name="askd",
    command=f"{shlex.quote(sys.executable)} -m service --port {{port}} --ops-port {{ops}} --log-format json",
    url="http://127.0.0.1:{port}/ask?q=hello",
    ready="http://127.0.0.1:{ops}/readyz",
    answer={"answer": "Hi"},
)
ASKD_ONE_PORT: Final = dataclasses.replace(
    ASKD,
    command=f"{shlex.quote(sys.executable)} -m service --port {{port}} --log-format json",
    ready="http://127.0.0.1:{port}/readyz",
)


def _peer(name: str, file: str) -> Server:
    command = f"{shlex.quote(sys.executable)} {PEERS}/{file} {{port}}"
    return dataclasses.replace(ASKD, name=name, command=command, ready="")


BARE: Final = _peer("bare aiohttp", "bare.py")
FASTAPI: Final = _peer("FastAPI", "fastapi_metrics.py")
RAW: Final = _peer("raw asyncio protocol", "raw.py")


def code(name: str, attribute: str, **variables: str) -> Server:
    """Askd that serves a function of `peers/trivial.py`, with further variables in its environment."""
    command = ASKD.command.replace(" --port", f" serve {PEERS}/trivial.py:{attribute} --port", 1)
    return dataclasses.replace(ASKD, name=name, command=command, environ=variables)


CODE: Final = (
    code("askd, async function", "asynchronous"),
    BARE,
    code("askd, sync function", "synchronous"),
    _peer("bare aiohttp, thread", "bare_thread.py"),
)
"""A trivial function behind askd, and the same in a bare app: on the loop, and in a thread."""


def _traced(name: str, share: str) -> Server:
    """Nobody reads the traces: what is measured is what they cost askd, the batches and their sending included."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:{sink}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": share,
    }
    sink = f"{shlex.quote(sys.executable)} {PEERS}/otlp_sink.py"
    return dataclasses.replace(ASKD, name=name, environ=variables, beside=sink)


TRACED: Final = (ASKD, _traced("askd, traced 1 %", "0.01"), _traced("askd, traced 100 %", "1"))
"""askd without traces, and with them; nothing else differs."""


def podinfo(binary: str) -> Server:
    """Podinfo on one core, asked for what costs it least."""
    return Server(
        name="podinfo",
        command=f"{shlex.quote(binary)} --port={{port}} --level=error",
        url="http://127.0.0.1:{port}/version",
        environ={"GOMAXPROCS": "1"},
    )


def given(text: str) -> Server:
    """Read `NAME=COMMAND=URL`; the command may hold further `=`. Raises ValueError."""
    name, _, rest = text.partition("=")
    cut = rest.rfind("=http")
    if not name or cut < 1:
        raise ValueError(
            f"{text!r}: give NAME=COMMAND=URL, such as 'mine=./mine --port {{port}}=http://127.0.0.1:{{port}}/'"
        )
    return Server(name=name, command=rest[:cut], url=rest[cut + 1 :])


class Running:
    """A server's process, pinned to one core (None: to none), with its output in a file."""

    def __init__(self, server: Server, core: int | None, log: Path) -> None:
        ports = dict(zip(("port", "ops", "sink"), _free_ports(3), strict=True))
        self.server = server
        self.log = log
        self.port = ports["port"]
        self.url, self.ready, self.ops = (
            text.format(**ports) for text in (server.url, server.ready or server.url, "http://127.0.0.1:{ops}")
        )
        pin = [] if core is None else ["taskset", "-c", str(core)]
        command = [*pin, *(part.format(**ports) for part in shlex.split(server.command))]
        inherited = {name: text for name, text in os.environ.items() if name not in UNUSUAL}
        environ = inherited | {name: text.format(**ports) for name, text in server.environ.items()}
        with log.open("ab") as output:
            beside = [*shlex.split(server.beside), str(ports["sink"])] if server.beside else []
            self.beside = subprocess.Popen(beside, stdout=output, stderr=output) if beside else None
            self.started = time.perf_counter()
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environ)

    def wait_ready(self) -> float:
        """Return the seconds from exec to the first 200. Raises RuntimeError, with the end of the log."""
        while (elapsed := time.perf_counter() - self.started) < START_LIMIT and self.process.poll() is None:
            with contextlib.suppress(OSError), _DIRECT.open(self.ready, timeout=5):
                return time.perf_counter() - self.started
            time.sleep(0.001)
        tail = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.server.name} gave no 200 at {self.ready} in {elapsed:.0f} s. Its log ends:\n{tail}")

    def check(self) -> None:
        """Make sure of the answer before it is measured how fast it comes. Raises RuntimeError."""
        with _DIRECT.open(self.url, timeout=5) as response:
            body = response.read()
        if self.server.answer is not None and json.loads(body) != self.server.answer:
            raise RuntimeError(f"{self.server.name} answers {body[:200]!r}, expected {self.server.answer}")

    def ask(self, fields: Mapping[str, str] | None = None, *, url: str = "") -> tuple[int, Message, bytes]:
        """Ask its URL or another, with further header fields; returns status, header fields and body of what comes."""
        parts = urllib.parse.urlsplit(url or self.url)
        with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=5)) as connection:
            connection.request("GET", f"{parts.path}?{parts.query}", headers=fields or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def resident(self) -> int:
        """Resident memory in bytes, now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processor_time(self) -> float:
        """Seconds that the process has run so far, in its own code and in the kernel, on all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Stop the process: asked first, killed after 10 s."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.beside:
            self.beside.kill()
            self.beside.wait()


@contextlib.contextmanager
def running(server: Server, *, core: int | None, folder: Path) -> Iterator[Running]:
    """Run a server until the block ends, whatever happens in it."""
    log = folder / f"{server.name.replace(' ', '-').replace('/', '-')}.log"
    process = Running(server, core, log)
    try:
        yield process
    finally:
        process.end()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]
