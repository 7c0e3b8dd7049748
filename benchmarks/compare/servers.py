"""Servers to measure: their commands, expected responses and processes."""

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

FOLDER: Final = Path(__file__).parent
PEERS: Final = FOLDER / "peers"
_DIRECT_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
NOT_INHERITED: Final = frozenset({"PYTHONDONTWRITEBYTECODE"})
"""Variables that servers do not inherit: without bytecode, each start would compile all modules."""
START_TIMEOUT: Final = 30.0
"""Maximum seconds from exec to the first 200."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """A server to measure. `{port}` and `{ops}` in `command`, URLs and `environ` are replaced by free ports."""

    name: str
    command: str
    url: str
    ready: str = ""
    """URL that returns 200 as soon as the server is ready. Empty uses `url`."""
    answer: object = None
    """Expected JSON of `url`. None accepts any 200."""
    environ: dict[str, str] = dataclasses.field(default_factory=dict)
    sidecar: str = ""
    """Command of a second process on the port `{sink}`, which `environ` may contain. Empty starts none."""


ASKD: Final = Server(
    name="askd",
    command=f"{shlex.quote(sys.executable)} -m askd --port {{port}} --ops-port {{ops}} --log-format json",
    url="http://127.0.0.1:{port}/ask?q=hello",
    ready="http://127.0.0.1:{ops}/readyz",
    answer={"answer": "Hi"},
)
ASKD_ONE_PORT: Final = dataclasses.replace(
    ASKD,
    command=f"{shlex.quote(sys.executable)} -m askd --port {{port}} --log-format json",
    ready="http://127.0.0.1:{port}/readyz",
)


def peer_server(name: str, file: str) -> Server:
    """Return a server of `peers/`, which answers like askd's built-in book."""
    command = f"{shlex.quote(sys.executable)} {PEERS}/{file} {{port}}"
    return dataclasses.replace(ASKD, name=name, command=command, ready="")


BARE: Final = peer_server("bare aiohttp", "bare_aiohttp.py")
LEAN: Final = peer_server("lean aiohttp", "lean_aiohttp.py")
FASTAPI: Final = peer_server("FastAPI", "fastapi_metrics.py")
RAW: Final = peer_server("raw asyncio protocol", "asyncio_protocol.py")


def function_server(name: str, attribute: str, **variables: str) -> Server:
    """Return askd with a function of `trivial_functions.py` and additional environment variables."""
    command = ASKD.command.replace(" --port", f" serve {FOLDER}/trivial_functions.py:{attribute} --port", 1)
    return dataclasses.replace(ASKD, name=name, command=command, environ=variables)


FUNCTION_SERVERS: Final = (
    function_server("askd, async function", "asynchronous"),
    LEAN,
    function_server("askd, sync function", "synchronous"),
    peer_server("bare aiohttp, thread", "bare_aiohttp_thread.py"),
)
"""A trivial function in askd and in a bare app, on the event loop and in a thread."""


def _traced_server(name: str, share: str) -> Server:
    """Return askd with this share of traced requests, which are exported to a sink that discards them."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:{sink}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": share,
    }
    sink = f"{shlex.quote(sys.executable)} {FOLDER}/otlp_sink.py"
    return dataclasses.replace(ASKD, name=name, environ=variables, sidecar=sink)


TRACED_SERVERS: Final = (ASKD, _traced_server("askd, traced 1 %", "0.01"), _traced_server("askd, traced 100 %", "1"))
"""askd without and with tracing."""


def podinfo_server(binary: str) -> Server:
    """Return podinfo on one core, with its cheapest endpoint."""
    return Server(
        name="podinfo",
        command=f"{shlex.quote(binary)} --port={{port}} --level=error",
        url="http://127.0.0.1:{port}/version",
        environ={"GOMAXPROCS": "1"},
    )


def parse_server(text: str) -> Server:
    """Parse `NAME=COMMAND=URL`, whose command may contain `=`. Raises ValueError."""
    name, _, rest = text.partition("=")
    position = rest.rfind("=http")
    if not name or position < 1:
        raise ValueError(
            f"invalid server {text!r}: give NAME=COMMAND=URL, such as 'mine=./mine --port {{port}}=http://127.0.0.1:{{port}}/'"
        )
    return Server(name=name, command=rest[:position], url=rest[position + 1 :])


class RunningServer:
    """The process of a server, pinned to one core unless `core` is None, with its output in a file."""

    def __init__(self, server: Server, core: int | None, log: Path) -> None:
        ports = dict(zip(("port", "ops", "sink"), _free_ports(3), strict=True))
        self.server = server
        self.log = log
        self.port = ports["port"]
        self.url, self.ready, self.ops_url = (
            text.format(**ports) for text in (server.url, server.ready or server.url, "http://127.0.0.1:{ops}")
        )
        pin = [] if core is None else ["taskset", "-c", str(core)]
        command = [*pin, *(part.format(**ports) for part in shlex.split(server.command))]
        inherited = {name: text for name, text in os.environ.items() if name not in NOT_INHERITED}
        environ = inherited | {name: text.format(**ports) for name, text in server.environ.items()}
        with log.open("ab") as output:
            sidecar = [*shlex.split(server.sidecar), str(ports["sink"])] if server.sidecar else []
            self.sidecar = subprocess.Popen(sidecar, stdout=output, stderr=output) if sidecar else None
            self._started_at = time.perf_counter()
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environ)

    def wait_ready(self) -> float:
        """Wait for the first 200. Returns the seconds since exec.

        Raises:
            RuntimeError: The server exited or took too long; the message contains the end of its log.
        """
        while (elapsed := time.perf_counter() - self._started_at) < START_TIMEOUT and self.process.poll() is None:
            with contextlib.suppress(OSError), _DIRECT_OPENER.open(self.ready, timeout=5):
                return time.perf_counter() - self._started_at
            time.sleep(0.001)
        tail = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(
            f"{self.server.name} returned no 200 at {self.ready} in {elapsed:.0f} s; end of its log:\n{tail}"
        )

    def check(self) -> None:
        """Check the response before measuring. Raises RuntimeError if it is not the expected one."""
        with _DIRECT_OPENER.open(self.url, timeout=5) as response:
            body = response.read()
        if self.server.answer is not None and json.loads(body) != self.server.answer:
            raise RuntimeError(f"{self.server.name} returned {body[:200]!r}, expected {self.server.answer}")

    def ask(self, headers: Mapping[str, str] | None = None, *, url: str = "") -> tuple[int, Message, bytes]:
        """Send a request to `url`, by default the server's URL. Returns status, headers and body of any response."""
        parts = urllib.parse.urlsplit(url or self.url)
        with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=5)) as connection:
            connection.request("GET", f"{parts.path}?{parts.query}", headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def resident_bytes(self) -> int:
        """Return the resident memory in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_time(self) -> float:
        """Return the CPU time of the process so far in seconds, user and system, of all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Terminate the process; kill it after 10 s."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.sidecar:
            self.sidecar.kill()
            self.sidecar.wait()


@contextlib.contextmanager
def running_server(server: Server, *, core: int | None, folder: Path) -> Iterator[RunningServer]:
    """Run a server during the block."""
    log = folder / f"{server.name.replace(' ', '-').replace('/', '-')}.log"
    process = RunningServer(server, core, log)
    try:
        yield process
    finally:
        process.stop()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]
