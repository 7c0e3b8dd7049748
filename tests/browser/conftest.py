"""The pages in a real browser, served by the real app under its strict policy. Without a browser, one line says so."""

import importlib.util
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from service.app import LOADED, create_app
from service.guards.tokens import pair
from service.models import Answerer
from service.settings import Settings

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if importlib.util.find_spec("playwright") is None:
    MISSING: str | None = "they have an environment of their own: make test-browser"
else:
    MISSING = None if PROGRAM else "there is no chromium (Debian: apt-get install chromium)"

Start = Callable[..., Awaitable[str]]
Open = Callable[..., Awaitable["Tab"]]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave the tests alone that cannot run here."""
    return True if MISSING and collection_path.name.startswith("test_") else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why."""
    if MISSING:
        terminalreporter.write_line(f"skipped: tests/browser, {MISSING}")


class Tab:
    """One page of a browser, and what it must not have in the end: errors, and requests to others."""

    def __init__(self, page: "Page", base: str) -> None:
        self.page = page
        self.base = base
        self.faults: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        """Note an error, but for the line that any answer with a status of 400 or more gets."""
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)

    def _asked(self, request: Any) -> None:
        origin = "/".join(self.base.split("/")[:3])
        if not request.url.startswith((f"{origin}/", "data:")):
            self.faults.append(f"a request to {request.url}")

    async def go(self, path: str = "/") -> None:
        """Open a path of the server."""
        await self.page.goto(self.base + path)

    async def ask(self, text: str) -> None:
        """Type a question and press Enter."""
        await self.page.locator("#q").fill(text)
        await self.page.locator("#q").press("Enter")

    async def answered(self, title: str | None = None) -> None:
        """Wait until an exchange is over; `title` is the heading of its problem, None: it has an answer."""
        await self.page.wait_for_selector("#answer[aria-busy=false]")
        if title is None:
            await self.page.wait_for_selector("#answer:not(.failed) .facts")
        else:
            await self.page.locator("#answer.failed h2", has_text=title).wait_for()

    async def text(self, selector: str) -> str:
        """Return the text of the first such element."""
        return str(await self.page.locator(selector).first.text_content())

    async def texts(self, selector: str) -> list[str]:
        """Return the texts of all such elements."""
        return [str(one) for one in await self.page.locator(selector).all_text_contents()]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> "AsyncIterator[Browser]":
    """One browser for all tests."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=PROGRAM)
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="session")
async def start() -> AsyncIterator[Start]:
    """Serve an answerer with settings given as strings; the result is the address of its home page, without slash."""
    async with AsyncExitStack() as stack:

        async def started(answerer: Answerer, **settings: str) -> str:
            app = create_app(Settings.load({"concurrency": "4", **settings}, {}), answerer=answerer)
            server = await stack.enter_async_context(TestServer(app, handler_cancellation=True))
            await app[LOADED]
            return str(server.make_url(settings.get("prefix", "/"))).rstrip("/")

        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: "Browser", start: Start) -> AsyncIterator[Open]:
    """Serve an answerer and open a tab for it; `context` is what the browser is told, the rest are settings."""
    tabs: list[Tab] = []

    async def opened(answerer: Answerer, path: str | None = "/", *, context: Any = None, **settings: str) -> Tab:
        base = await start(answerer, **settings)
        page = await (await browser.new_context(**(context or {}))).new_page()
        page.set_default_timeout(10_000)
        tabs.append(tab := Tab(page, base))
        if path is not None:
            await tab.go(path)
        return tab

    yield opened
    for tab in tabs:
        await tab.page.context.close()
    assert not [fault for tab in tabs for fault in tab.faults]


@pytest.fixture
def tokens(tmp_path: Path) -> tuple[str, str]:
    """A file with one token, and that token."""
    token, line = pair("alice")
    (tmp_path / "tokens").write_text(line)
    return str(tmp_path / "tokens"), token
