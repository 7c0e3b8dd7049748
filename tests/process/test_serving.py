"""The running process: questions, probes, settings, ports and address families."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from askd.config.server import DEFAULT_PORT
from tests.support.askd_process import StartAskd

SPINNING_CODE = """
import logging, os

async def answer(question):
    logging.getLogger("code").warning("spinning")
    while not os.path.exists("go"):
        pass
    return "done"
"""

KUBERNETES_VARIABLES = {
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


async def test_built_in_book_is_served(start: StartAskd) -> None:
    """The built-in book answers hello, the log names the answerer, and SIGTERM ends the process with 0."""
    process = await start()
    ready = await process.wait_for_event("ready")
    assert ready["answerer"]
    assert ready["duration_ms"] >= 0
    response = await process.get("/ask?q=hello")
    assert (response.status, response.text) == (200, '{"answer":"Hi"}')
    request = await process.wait_for_event("request", {"http.route": "/ask"})
    assert (request["http.request.method"], request["http.response.status_code"]) == ("GET", 200)
    assert request["request_id"] == response.headers["X-Request-Id"]
    assert await process.stop() == 0
    assert process.events("stopped")
    assert all(line.startswith("{") for line in process.output.splitlines())


async def test_settings_are_logged(start: StartAskd) -> None:
    """The settings are logged at the start, with flags and variables applied."""
    process = await start("--threads", "3", ASKD_STALL_TIMEOUT="1m")
    settings = await process.wait_for_event("settings")
    assert (settings["threads"], settings["stall_timeout"], settings["drain_delay"]) == (3, 60.0, 0.0)


async def test_function_is_served(start: StartAskd, tmp_path: Path) -> None:
    """A file with a function is served without an import of askd."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text.upper()\n")
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    assert json.loads((await process.get("/ask?q=hello")).text) == {"answer": "HELLO"}


async def test_env_file_is_read(start: StartAskd, tmp_path: Path) -> None:
    """Variables of an env file become settings and are visible to the code; unknown settings are reported."""
    (tmp_path / "main.py").write_text("import os\n\ndef answer(text):\n    return os.environ['CITY']\n")
    (tmp_path / "vars").write_text("ASKD_ANSWERER=main.py:answer\nASKD_PROT=1\nCITY='Bad Tölz'\n")
    process = await start("--env-file", "vars")
    await process.wait_for_event("ready")
    assert json.loads((await process.get("/ask?q=x")).text) == {"answer": "Bad Tölz"}
    assert "ASKD_PROT" in process.output
    assert "ASKD_PORT" in process.output


async def test_both_address_families(start: StartAskd) -> None:
    """`--host ::` listens on IPv4 and, if the machine has it, on IPv6."""
    process = await start("--host", "::")
    await process.wait_for_event("ready")
    port = (await process.url()).rpartition(":")[2]
    addresses = ["127.0.0.1"] + ["[::1]"] * has_ipv6_loopback()
    responses = [await process.get("/ask?q=hello", base=f"http://{address}:{port}") for address in addresses]
    assert {response.status for response in responses} == {200}


def has_ipv6_loopback() -> bool:
    """Whether this machine has the address ::1, which containers often lack."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def test_variables_of_kubernetes_services_are_ignored(start: StartAskd) -> None:
    """Variables of Services named askd and askd-ops are ignored without a warning."""
    process = await start("--port", "0", **KUBERNETES_VARIABLES)
    await process.wait_for_event("ready")
    assert (await process.get("/ask?q=hello")).status == 200
    assert (await process.get("/livez")).status == 200
    assert not any(name in process.output for name in KUBERNETES_VARIABLES)


async def test_ops_port_responds_while_code_blocks_the_loop(start: StartAskd, tmp_path: Path) -> None:
    """Code that blocks the main loop does not delay probes and metrics on the ops port."""
    (tmp_path / "main.py").write_text(SPINNING_CODE)
    process = await start("serve", "main.py:answer", "--ops-port", "0")
    await process.wait_for_event("ready")
    pending = asyncio.create_task(process.get("/ask?q=x"))
    await process.wait_for_event("spinning")
    statuses = {path: (await process.get(path, ops=True)).status for path in ("/livez", "/startupz", "/metrics")}
    assert set(statuses.values()) == {200}
    assert not pending.done()
    (tmp_path / "go").touch()
    assert (await pending).status == 200


async def test_ops_endpoints_are_only_on_the_ops_port(start: StartAskd) -> None:
    """With an ops port, ops endpoints are served there only, and questions on the main port only."""
    process = await start("--ops-port", "0")
    await process.wait_for_event("ready")
    for path, main_status, ops_status in (("/livez", 404, 200), ("/metrics", 404, 200), ("/ask?q=hello", 200, 404)):
        assert (await process.get(path)).status == main_status
        assert (await process.get(path, ops=True)).status == ops_status


async def test_sigusr2_toggles_debug(start: StartAskd, tmp_path: Path) -> None:
    """SIGUSR2 enables debug messages, and disables them again."""
    (tmp_path / "main.py").write_text(
        "import logging\n\ndef answer(text):\n    logging.getLogger('code').debug(text)\n    return text\n"
    )
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    await process.get("/ask?q=before")
    process.send_signal(signal.SIGUSR2)
    await process.wait_for_event("log_level_changed")
    await process.get("/ask?q=between")
    process.send_signal(signal.SIGUSR2)
    await process.wait_for_event("log_level_changed", nth=2)
    await process.get("/ask?q=after")
    await process.stop()
    assert process.events("between", level="debug")
    assert not process.events("before")
    assert not process.events("after")


async def test_prefix(start: StartAskd) -> None:
    """All paths except the ops endpoints are below the prefix."""
    process = await start("--prefix", "/answers")
    await process.wait_for_event("ready")
    for path, status in (("/answers/ask?q=hello", 200), ("/ask?q=hello", 404), ("/livez", 200)):
        assert (await process.get(path)).status == status


async def test_taken_default_port(start: StartAskd) -> None:
    """If the default port is taken, another one is used, and the log names both and the process that uses it."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # taken by another process, which is as good
            stack.enter_context(socket.create_server(("127.0.0.1", DEFAULT_PORT)))
        process = await start(ASKD_PORT="")
        conflict = await process.wait_for_event("port_in_use")
        assert conflict["detail"].startswith(f"port {DEFAULT_PORT} is in use by ")
        port = int(conflict["detail"].rpartition(" ")[2])
        assert (await process.url()) == f"http://127.0.0.1:{port}"
        await process.wait_for_event("ready")
        assert (await process.get("/ask?q=hello")).status == 200


@pytest.mark.parametrize("flag", ["--port", "--ops-port"])
async def test_taken_explicit_port(start: StartAskd, flag: str) -> None:
    """If an explicit port is taken, the process exits with 2, and the error names the process that uses it."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        process = await start(flag, str(bound.getsockname()[1]))
        assert await process.wait_for_exit() == 2
    (line,) = [line for line in process.output.splitlines() if line.startswith("askd: ")]
    assert f"(pid {os.getpid()}): pass {flag}=" in line
    assert "Traceback" not in process.output
