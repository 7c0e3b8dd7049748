"""Chromium without a window, steered over the Chrome DevTools Protocol: what the tests of the pages need of it."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
from watchfiles import watch

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
)


class Tab:
    """One page. `faults` has what its console calls errors: uncaught exceptions, and what the page's policy blocked."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.faults: list[str] = []

    async def listen(self) -> None:
        """Sort what the browser says, until it is closed."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._replies.pop(said["id"]).set_result(said)
            elif said["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif said["method"] == "Runtime.exceptionThrown":
                self.faults.append(json.dumps(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["source"] == "security":
                self.faults.append(said["params"]["entry"]["text"])

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._last += 1
        reply = self._replies[self._last] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._last, "method": method, "params": parameters})
        said = await reply
        assert "error" not in said, said
        result: dict[str, Any] = said["result"]
        return result

    async def prepared(self) -> Self:
        """Turn on the events that are listened to."""
        for domain in ("Page", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        return self

    async def open(self, address: object) -> None:
        """Go to an address and wait until it is loaded."""
        loaded = self.loading()
        await self.send("Page.navigate", url=str(address))
        await loaded

    def loading(self) -> "asyncio.Task[bool]":
        """Return what is done when the next page has been loaded."""
        self._loaded.clear()
        return asyncio.create_task(self._loaded.wait())

    async def run(self, script: str) -> Any:
        """Evaluate an expression in the page; a promise is awaited."""
        given: dict[str, Any] = {"expression": script, "awaitPromise": True, "returnByValue": True}
        said = await self.send("Runtime.evaluate", **given)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Wait until an expression is truthy, looking again whenever the page changes; return its value."""
        return await self.run(
            f"""new Promise((done) => {{
                const look = () => {{ const found = {condition}; if (found) {{ watch.disconnect(); done(found); }} }};
                const watch = new MutationObserver(look);
                const all = {{ subtree: true, childList: true, attributes: true, characterData: true }};
                watch.observe(document, all);
                look();
            }})"""
        )

    async def text(self, selector: str) -> str:
        """Return the text of the first such element."""
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).textContent"))

    async def press(self, key: str) -> None:
        """Press and release one key."""
        codes = {"Tab": 9, "Enter": 13}
        about: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        character = {"text": "\r"} if key == "Enter" else {}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **about, **character)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    async def type(self, text: str) -> None:
        """Type text into what has the focus."""
        await self.send("Input.insertText", text=text)


@contextmanager
def chromium(folder: Path) -> Iterator[str]:
    """Start Chromium with a profile of its own in `folder`; give the host and port of its debugger."""
    assert PROGRAM
    command = [PROGRAM, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
    said = folder / "stderr"
    with said.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            yield _debugger(folder / "DevToolsActivePort", process)
        finally:
            process.terminate()


def _debugger(file: Path, process: "subprocess.Popen[bytes]") -> str:
    """Wait until Chromium has written the file that names its port."""
    for _ in watch(file.parent, rust_timeout=1000, yield_on_timeout=True, debounce=10):
        assert process.poll() is None, "chromium ended before it listened"
        if file.exists() and (text := file.read_text()).count("\n"):
            return f"127.0.0.1:{text.splitlines()[0]}"
    raise AssertionError("not reached: the watch has no end")


@asynccontextmanager
async def tab(address: str) -> AsyncIterator[Tab]:
    """Open a tab of the Chromium at `address`."""
    async with aiohttp.ClientSession() as session:
        async with session.put(f"http://{address}/json/new?about:blank") as response:
            page = await response.json(content_type=None)
        async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            made = Tab(socket)
            listening = asyncio.create_task(made.listen())
            yield await made.prepared()
            await made.send("Page.close")
            await listening
