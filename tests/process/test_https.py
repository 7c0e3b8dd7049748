"""HTTPS: renewed certificates, and clients that do not complete the handshake."""

import asyncio
import json
import ssl
from pathlib import Path

import aiohttp
import pytest

from askd.guards.tokens import generate_token
from tests.support.askd_process import TIMEOUT, AskdProcess, StartAskd
from tests.support.certificates import (
    CertificateFiles,
    client_context,
    issue_certificate,
    mount_as_secret,
    serial_number,
    utc_date,
    write_certificate,
)
from tests.support.reload_helpers import code_answering, save_atomically, start_with_reload


def tls_variables(files: CertificateFiles) -> dict[str, str]:
    """Return the variables that name a certificate and its key."""
    return {"ASKD_TLS_CERT": str(files.cert), "ASKD_TLS_KEY": str(files.key)}


async def served_serial_number(process: AskdProcess) -> str:
    """Return the serial number of the certificate that a new connection gets."""
    host, port = (await process.url()).removeprefix("https://").split(":")
    async with asyncio.timeout(TIMEOUT):
        _, writer = await asyncio.open_connection(host, int(port), ssl=client_context())
    number = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    await writer.wait_closed()
    return str(number)


class Clients:
    """Clients that send requests over HTTPS until stopped, on kept-alive or new connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopped = asyncio.Event()
        self.statuses: list[int] = []
        self._changed = asyncio.Condition()

    async def run(self, *, keep_alive: bool) -> None:
        """Send requests until stopped. A failed request fails the test."""
        connector = aiohttp.TCPConnector(ssl=client_context(), force_close=not keep_alive, limit=1)
        async with aiohttp.ClientSession(connector=connector) as client:
            while not self._stopped.is_set():
                async with client.get(f"{self._url}/ask?q=hello") as response:
                    await response.read()
                async with self._changed:
                    self.statuses.append(response.status)
                    self._changed.notify_all()

    async def wait_for_responses(self, count: int) -> None:
        """Wait for `count` further responses."""
        wanted = len(self.statuses) + count
        async with asyncio.timeout(TIMEOUT), self._changed:
            await self._changed.wait_for(lambda: len(self.statuses) >= wanted)

    def stop(self) -> None:
        """Let each client finish its request."""
        self._stopped.set()


@pytest.mark.slow
async def test_renewed_certificate_loses_no_request(start: StartAskd, tmp_path: Path) -> None:
    """During renewals under load every request is answered, an invalid pair is ignored, and the ops port uses HTTP."""
    certificates = [issue_certificate(not_after=utc_date(year)) for year in (2091, 2092, 2093)]
    process = await start(ASKD_OPS_PORT="0", **tls_variables(mount_as_secret(tmp_path / "tls", 0, certificates[0])))
    await process.wait_for_event("ready")
    url = await process.url()
    assert url.startswith("https://")
    assert (await process.wait_for_event("listening"))["ops_url"].startswith("http://")
    clients = Clients(url)
    async with asyncio.TaskGroup() as tasks:
        for keep_alive in (True, True, True, False):
            tasks.create_task(clients.run(keep_alive=keep_alive))
        for number, certificate in enumerate(certificates[1:], 1):
            await clients.wait_for_responses(20)
            mount_as_secret(tmp_path / "tls", number, certificate)
            await process.wait_for_event("tls_certificate_reloaded", nth=number)
            assert await served_serial_number(process) == serial_number(certificate)
        (tmp_path / "tls" / "tls.key").unlink()
        await process.wait_for_event("tls_certificate_reload_failed")
        await clients.wait_for_responses(20)
        clients.stop()
    assert await served_serial_number(process) == serial_number(certificates[-1])
    assert set(clients.statuses) == {200}
    scrape = (await process.get("/metrics", ops=True)).text
    expiry = scrape.rpartition("askd_tls_certificate_expiry_timestamp_seconds ")[2].split()[0]
    assert float(expiry) == utc_date(2093).timestamp()
    assert 'askd_tls_reloads_total{result="succeeded"} 2.0' in scrape
    assert 'askd_tls_reloads_total{result="failed"} 1.0' in scrape
    assert await process.stop() == 0
    assert not [line for line in process.output.splitlines() if '"level":"error"' in line]


async def test_failed_handshakes_are_closed(start: StartAskd, tmp_path: Path) -> None:
    """A silent client is closed at the header time-out, one that sends plain HTTP at once; no error is logged."""
    process = await start(
        ASKD_HEADER_TIMEOUT="100ms", **tls_variables(write_certificate(tmp_path, issue_certificate()))
    )
    await process.wait_for_event("ready")
    host, port = (await process.url()).removeprefix("https://").split(":")
    for data in (b"", b"GET /ask?q=hello HTTP/1.1\r\nHost: x\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        async with asyncio.timeout(TIMEOUT):
            try:
                received = await reader.read()
            except ConnectionResetError:
                received = b""
        assert b"HTTP" not in received
        writer.close()
    assert (await process.get("/ask?q=hello", ssl=client_context())).status == 200
    assert await process.stop() == 0
    assert not [line for line in process.output.splitlines() if '"level":"error"' in line]


@pytest.mark.slow
async def test_https_with_reload(start: StartAskd, tmp_path: Path) -> None:
    """With --reload, each worker serves HTTPS and checks tokens."""
    token, line = generate_token("alice")
    (tmp_path / "tokens").write_text(line)
    files = write_certificate(tmp_path, issue_certificate())
    flags = ("--tls-cert", str(files.cert), "--tls-key", str(files.key), "--tokens-file", "tokens")
    process = await start_with_reload(start, tmp_path, code_answering("old"), *flags)
    save_atomically(tmp_path / "main.py", code_answering("new"))
    await process.wait_for_event("code_reloaded")
    response = await process.get("/ask?q=x", ssl=client_context(), headers={"Authorization": f"Bearer {token}"})
    assert json.loads(response.text)["answer"].startswith("new ")
    assert (await process.get("/ask?q=x", ssl=client_context())).status == 401
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await process.get("/ask?q=x", ssl=ssl.create_default_context())


async def test_invalid_certificate_ends_the_start(start: StartAskd, tmp_path: Path) -> None:
    """An invalid certificate ends the start with 2 and an error in one line."""
    (tmp_path / "bad").write_text("not a certificate")
    process = await start(ASKD_TLS_CERT="bad", ASKD_TLS_KEY="bad")
    assert await process.wait_for_exit() == 2
    (line,) = [line for line in process.output.splitlines() if line.startswith("askd: ")]
    assert line.startswith("askd: --tls-cert=bad: contains no PEM certificate")
    assert "Traceback" not in process.output
