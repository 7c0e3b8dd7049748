"""What the running process answers: questions, probes, on each family, whatever its environment holds."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from service.settings.process import DEFAULT_PORT

from .conftest import Start

SPIN = """
import logging, os

async def answer(question):
    logging.getLogger("code").warning("spinning")
    while not os.path.exists("go"):
        pass
    return "done"
"""

INJECTED = {
    "ASKD_SERVICE_HOST": "10.96.0.10",
    "ASKD_SERVICE_PORT": "80",
    "ASKD_SERVICE_PORT_HTTP": "80",
    "ASKD_PORT": "tcp://10.96.0.10:80",
    "ASKD_PORT_80_TCP": "tcp://10.96.0.10:80",
    "ASKD_PORT_80_TCP_ADDR": "10.96.0.10",
    "ASKD_OPS_SERVICE_HOST": "10.96.0.11",
    "ASKD_OPS_PORT": "tcp://10.96.0.11:9090",
    "ASKD_OPS_PORT_9090_TCP_PROTO": "tcp",
}


async def test_it_answers_hello(start: Start) -> None:
    """The built-in book answers hello, the log says what is served, and SIGTERM ends it with 0."""
    process = await start()
    ready = await process.event("ready")
    assert ready["answerer"]
    assert ready["seconds"] >= 0
    reply = await process.get("/ask?q=hello")
    assert (reply.status, reply.text) == (200, '{"answer":"Hi"}')
    exchange = await process.event("exchange", route="/ask")
    assert (exchange["method"], exchange["status"]) == ("GET", 200)
    assert exchange["id"] == reply.headers["X-Request-Id"]
    assert await process.stop() == 0
    assert process.events("stopped")
    assert all(line.startswith("{") for line in process.output.splitlines())


async def test_settings_are_logged(start: Start) -> None:
    """The settings in force are logged at the start, wherever they came from."""
    process = await start("--threads", "3", ASKD_STALL_LIMIT="1m")
    settings = await process.event("settings")
    assert (settings["threads"], settings["stall_limit"], settings["drain_delay"]) == (3, 60.0, 0.0)


async def test_a_function_is_served_as_it_is(start: Start, tmp_path: Path) -> None:
    """A file with a function needs nothing of askd."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text.upper()\n")
    process = await start("serve", "main.py:answer")
    await process.event("ready")
    assert json.loads((await process.get("/ask?q=hello")).text) == {"answer": "HELLO"}


async def test_env_file_reaches_settings_and_code(start: Start, tmp_path: Path) -> None:
    """Variables of a file are settings, and the code's environment; unknown ones are warned of by name."""
    (tmp_path / "main.py").write_text("import os\n\ndef answer(text):\n    return os.environ['CITY']\n")
    (tmp_path / "vars").write_text("ASKD_ANSWERER=main.py:answer\nASKD_PROT=1\nCITY='Bad Tölz'\n")
    process = await start("--env-file", "vars")
    await process.event("ready")
    assert json.loads((await process.get("/ask?q=x")).text) == {"answer": "Bad Tölz"}
    assert "ASKD_PROT" in process.output
    assert "ASKD_PORT" in process.output


async def test_both_families(start: Start) -> None:
    """`--host ::` answers over IPv4 and, where the machine has it, over IPv6."""
    process = await start("--host", "::")
    await process.event("ready")
    port = (await process.url()).rpartition(":")[2]
    addresses = ["127.0.0.1"] + ["[::1]"] * has_ipv6_loopback()
    replies = [await process.get("/ask?q=hello", base=f"http://{address}:{port}") for address in addresses]
    assert {reply.status for reply in replies} == {200}


def has_ipv6_loopback() -> bool:
    """Whether this machine has ::1, which containers often lack."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def test_what_kubernetes_injects_is_ignored(start: Start) -> None:
    """Variables of Services called askd and askd-ops neither set anything nor warn."""
    process = await start("--port", "0", **INJECTED)
    await process.event("ready")
    assert (await process.get("/ask?q=hello")).status == 200
    assert (await process.get("/livez")).status == 200
    assert not any(name in process.output for name in INJECTED)


async def test_the_ops_port_answers_while_code_blocks_the_loop(start: Start, tmp_path: Path) -> None:
    """Code that never awaits stops the main loop, and not the probes and metrics on a port of their own."""
    (tmp_path / "main.py").write_text(SPIN)
    process = await start("serve", "main.py:answer", "--ops-port", "0")
    await process.event("ready")
    asked = asyncio.create_task(process.get("/ask?q=x"))
    await process.event("spinning")
    statuses = {path: (await process.get(path, ops=True)).status for path in ("/livez", "/startupz", "/metrics")}
    assert set(statuses.values()) == {200}
    assert not asked.done()
    (tmp_path / "go").touch()
    assert (await asked).status == 200


async def test_ops_endpoints_move_to_their_port(start: Start) -> None:
    """With a port of their own, ops endpoints are there and nowhere else, and questions are not."""
    process = await start("--ops-port", "0")
    await process.event("ready")
    for path, here, there in (("/livez", 404, 200), ("/metrics", 404, 200), ("/ask?q=hello", 200, 404)):
        assert (await process.get(path)).status == here
        assert (await process.get(path, ops=True)).status == there


async def test_sigusr2_toggles_debug(start: Start, tmp_path: Path) -> None:
    """SIGUSR2 switches debug on, and off again."""
    (tmp_path / "main.py").write_text(
        "import logging\n\ndef answer(text):\n    logging.getLogger('code').debug(text)\n    return text\n"
    )
    process = await start("serve", "main.py:answer")
    await process.event("ready")
    await process.get("/ask?q=before")
    process.send(signal.SIGUSR2)
    await process.event("log level")
    await process.get("/ask?q=between")
    process.send(signal.SIGUSR2)
    await process.event("log level", nth=2)
    await process.get("/ask?q=after")
    await process.stop()
    assert process.events("between", level="debug")
    assert not process.events("before")
    assert not process.events("after")


async def test_prefix(start: Start) -> None:
    """Below a prefix is everything but the ops endpoints."""
    process = await start("--prefix", "/answers")
    await process.event("ready")
    for path, status in (("/answers/ask?q=hello", 200), ("/ask?q=hello", 404), ("/livez", 200)):
        assert (await process.get(path)).status == status


async def test_a_taken_default_port(start: Start) -> None:
    """If no port is given and the default is taken, another one is served, and one line names both and the holder."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # if another process holds it, that is as good
            stack.enter_context(socket.create_server(("127.0.0.1", DEFAULT_PORT)))
        process = await start(ASKD_PORT="")
        conflict = await process.event("port_in_use")
        assert conflict["detail"].startswith(f"port {DEFAULT_PORT} is held by ")
        port = int(conflict["detail"].rpartition(" ")[2])
        assert (await process.url()) == f"http://127.0.0.1:{port}"
        await process.event("ready")
        assert (await process.get("/ask?q=hello")).status == 200


@pytest.mark.parametrize("flag", ["--port", "--ops-port"])
async def test_a_taken_port_names_its_holder(start: Start, flag: str) -> None:
    """A taken port is one line that says who holds it and what to pass; exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        process = await start(flag, str(held.getsockname()[1]))
        assert await process.ended() == 2
    (line,) = [line for line in process.output.splitlines() if line.startswith("askd: ")]
    assert f"(pid {os.getpid()}): pass {flag}=" in line
    assert "Traceback" not in process.output
