"""Ports and addresses of the process: of the platform, of each address family, taken ones, and the ops port."""

import asyncio
import contextlib
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from askd.config.server import DEFAULT_PORT
from tests.support.askd_process import StartAskd
from tests.unit.docs.test_links import ROOT

PAGE = ROOT / "docs" / "how-to" / "deploy-on-a-platform.md"


def knative_container() -> dict[str, Any]:
    text = PAGE.read_text(encoding="utf-8")
    (manifest,) = re.findall(r"^```yaml\n(apiVersion: serving.*?)^```", text, re.MULTILINE | re.DOTALL)
    (container,) = yaml.safe_load(manifest)["spec"]["template"]["spec"]["containers"]
    return dict(container)


async def test_manifest_for_knative(start: StartAskd) -> None:
    """With the variables of deploy-on-a-platform.md and PORT, probes and requests are answered on that port."""
    container = knative_container()
    assert all(entry["name"].startswith("ASKD_") for entry in container["env"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = await start(**{entry["name"]: entry["value"] for entry in container["env"]}, ASKD_PORT="", PORT=str(port))
    await process.wait_for_event("ready")
    for probe in ("readinessProbe", "livenessProbe"):
        response = await process.get(container[probe]["httpGet"]["path"], base=f"http://127.0.0.1:{port}")
        assert response.status == 200, probe
    assert (await process.get("/ask?q=hello", base=f"http://127.0.0.1:{port}")).status == 200


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


async def test_port_of_the_platform(start: StartAskd) -> None:
    """PORT of Cloud Run, Knative or Heroku is the port; the log names it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = await start(ASKD_PORT="", PORT=str(port))
    await process.wait_for_event("ready")
    assert await process.url() == f"http://127.0.0.1:{port}"
    assert (await process.get("/ask?q=hello")).status == 200


@pytest.mark.slow
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


@pytest.mark.slow
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
