"""HTTPS: a certificate that is renewed while the process serves, and clients that do not get so far."""

import asyncio
import json
import ssl
from pathlib import Path

import aiohttp
import pytest

from service.guards.tokens import pair
from tests.certificates import Files, at, issue, mount, serial, trusting, write

from .conftest import BOUND, Process, Start
from .reloads import reloading, save, says


def secured(files: Files) -> dict[str, str]:
    """The variables that name a certificate and its key."""
    return {"ASKD_TLS_CERT": str(files.cert), "ASKD_TLS_KEY": str(files.key)}


async def shown(process: Process) -> str:
    """Serial number of the certificate that a new connection is shown."""
    host, port = (await process.url()).removeprefix("https://").split(":")
    async with asyncio.timeout(BOUND):
        _, writer = await asyncio.open_connection(host, int(port), ssl=trusting())
    number = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    await writer.wait_closed()
    return str(number)


class Load:
    """Clients who go on asking over HTTPS, on connections that are kept or made anew."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = asyncio.Event()
        self.statuses: list[int] = []
        self.news = asyncio.Condition()

    async def run(self, *, keep: bool) -> None:
        """Ask until it is over; whatever fails, fails the test."""
        connector = aiohttp.TCPConnector(ssl=trusting(), force_close=not keep, limit=1)
        async with aiohttp.ClientSession(connector=connector) as client:
            while not self._over.is_set():
                async with client.get(f"{self._url}/ask?q=hello") as reply:
                    await reply.read()
                async with self.news:
                    self.statuses.append(reply.status)
                    self.news.notify_all()

    async def more(self, number: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.statuses) + number
        async with asyncio.timeout(BOUND), self.news:
            await self.news.wait_for(lambda: len(self.statuses) >= wanted)

    def stop(self) -> None:
        """Let each client finish what it asked."""
        self._over.set()


async def test_a_renewed_certificate_loses_no_request(start: Start, tmp_path: Path) -> None:
    """Through renewals under load every request is answered; a broken pair changes nothing; probes stay on HTTP."""
    leaves = [issue(ends=at(year)) for year in (2091, 2092, 2093)]
    process = await start(ASKD_OPS_PORT="0", **secured(mount(tmp_path / "tls", 0, leaves[0])))
    await process.event("ready")
    url = await process.url()
    assert url.startswith("https://")
    assert (await process.event("listening"))["ops_url"].startswith("http://")
    load = Load(url)
    async with asyncio.TaskGroup() as clients:
        for keep in (True, True, True, False):
            clients.create_task(load.run(keep=keep))
        for number, leaf in enumerate(leaves[1:], 1):
            await load.more(20)
            mount(tmp_path / "tls", number, leaf)
            await process.event("certificate read again", nth=number)
            assert await shown(process) == serial(leaf)
        (tmp_path / "tls" / "tls.key").unlink()
        await process.event("the changed certificate is faulty, the old one stays")
        await load.more(20)
        load.stop()
    assert await shown(process) == serial(leaves[-1])
    assert set(load.statuses) == {200}
    scrape = (await process.get("/metrics", ops=True)).text
    expiry = scrape.rpartition("askd_tls_certificate_expiry_timestamp_seconds ")[2].split()[0]
    assert float(expiry) == at(2093).timestamp()
    assert 'askd_tls_reloads_total{result="succeeded"} 2.0' in scrape
    assert 'askd_tls_reloads_total{result="failed"} 1.0' in scrape
    assert await process.stop() == 0
    assert not [line for line in process.output.splitlines() if '"level":"error"' in line]


async def test_silence_and_plain_http_end_the_handshake(start: Start, tmp_path: Path) -> None:
    """Who says nothing is closed at the header time-out, who speaks HTTP at once; neither fills the log."""
    process = await start(ASKD_HEADER_TIMEOUT="100ms", **secured(write(tmp_path, issue())))
    await process.event("ready")
    host, port = (await process.url()).removeprefix("https://").split(":")
    for words in (b"", b"GET /ask?q=hello HTTP/1.1\r\nHost: x\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(words)
        async with asyncio.timeout(BOUND):
            try:
                said = await reader.read()
            except ConnectionResetError:
                said = b""
        assert b"HTTP" not in said
        writer.close()
    assert (await process.get("/ask?q=hello", ssl=trusting())).status == 200
    assert await process.stop() == 0
    assert not [line for line in process.output.splitlines() if '"level":"error"' in line]


async def test_a_reloaded_worker_serves_https_too(start: Start, tmp_path: Path) -> None:
    """Under --reload each worker shows the certificate, and asks for tokens."""
    token, line = pair("alice")
    (tmp_path / "tokens").write_text(line)
    files = write(tmp_path, issue())
    flags = ("--tls-cert", str(files.cert), "--tls-key", str(files.key), "--tokens-file", "tokens")
    process = await reloading(start, tmp_path, says("old"), *flags)
    save(tmp_path / "main.py", says("new"))
    await process.event("reloaded")
    reply = await process.get("/ask?q=x", ssl=trusting(), headers={"Authorization": f"Bearer {token}"})
    assert json.loads(reply.text)["answer"].startswith("new ")
    assert (await process.get("/ask?q=x", ssl=trusting())).status == 401
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await process.get("/ask?q=x", ssl=ssl.create_default_context())


async def test_a_faulty_certificate_does_not_start(start: Start, tmp_path: Path) -> None:
    """What cannot be read at the start ends it with 2 and a line for a person."""
    (tmp_path / "bad").write_text("what is this")
    process = await start(ASKD_TLS_CERT="bad", ASKD_TLS_KEY="bad")
    assert await process.ended() == 2
    (line,) = [line for line in process.output.splitlines() if line.startswith("askd: ")]
    assert line.startswith("askd: --tls-cert=bad: holds no certificate in PEM")
    assert "Traceback" not in process.output
