"""Fixtures that run the app and open its pages in a real browser, under their Content-Security-Policy."""

import importlib.util
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from askd.app import LOAD_TASK, create_app
from askd.config import Settings
from askd.guards.tokens import generate_token
from askd.models import Answerer
from tests.support.app_fixtures import AskdTestServer

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if importlib.util.find_spec("playwright") is None:
    SKIP_REASON: str | None = "playwright is not installed (run: make test-browser)"
else:
    SKIP_REASON = None if CHROMIUM else "chromium is not installed (Debian: apt-get install chromium)"

StartServer = Callable[..., Awaitable[str]]
OpenTab = Callable[..., Awaitable["Tab"]]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Skip the tests if Playwright or Chromium is missing."""
    return True if SKIP_REASON and collection_path.name.startswith("test_") else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report why the tests are skipped."""
    if SKIP_REASON:
        terminalreporter.write_line(f"skipped: tests/browser, {SKIP_REASON}")


class Tab:
    """A browser page that collects errors and requests to other hosts."""

    def __init__(self, page: "Page", base: str) -> None:
        self.page = page
        self.base = base
        self.errors: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        """Record an error, except the line that Chromium logs for each response with a status of 400 or more."""
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def _on_request(self, request: Any) -> None:
        origin = "/".join(self.base.split("/")[:3])
        if not request.url.startswith((f"{origin}/", "data:")):
            self.errors.append(f"request to another host: {request.url}")

    async def goto(self, path: str = "/") -> None:
        """Open a path of the server."""
        await self.page.goto(self.base + path)

    async def ask(self, text: str) -> None:
        """Type a question and press Enter."""
        await self.page.locator("#q").fill(text)
        await self.page.locator("#q").press("Enter")

    async def wait_for_answer(self, title: str | None = None) -> None:
        """Wait until a request has finished: with an answer, or with a problem that has this title."""
        await self.page.wait_for_selector("#answer[aria-busy=false]")
        if title is None:
            await self.page.wait_for_selector("#answer:not(.failed) .metadata")
        else:
            await self.page.locator("#answer.failed h2", has_text=title).wait_for()

    async def text(self, selector: str) -> str:
        """Return the text of the first matching element."""
        return str(await self.page.locator(selector).first.text_content())

    async def texts(self, selector: str) -> list[str]:
        """Return the texts of all matching elements."""
        return [str(text) for text in await self.page.locator(selector).all_text_contents()]


async def open_sections(tab: Tab) -> None:
    """Open the collapsed sections of the reference."""
    await tab.page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> "AsyncIterator[Browser]":
    """Return one browser for all tests."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="session")
async def start_server() -> AsyncIterator[StartServer]:
    """Serve an answerer with settings given as strings; return the URL of its home page without the final slash."""
    async with AsyncExitStack() as stack:

        async def start(answerer: Answerer, **settings: str) -> str:
            app = create_app(Settings.load({"concurrency": "4", **settings}, {}), answerer=answerer)
            server = await stack.enter_async_context(AskdTestServer(app))
            await app[LOAD_TASK]
            return str(server.make_url(settings.get("prefix", "/"))).rstrip("/")

        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: "Browser", start_server: StartServer) -> AsyncIterator[OpenTab]:
    """Serve an answerer and open a tab; `context` is passed to the browser, other arguments are settings."""
    tabs: list[Tab] = []

    async def open_one(answerer: Answerer, path: str | None = "/", *, context: Any = None, **settings: str) -> Tab:
        base = await start_server(answerer, **settings)
        page = await (await browser.new_context(**(context or {}))).new_page()
        page.set_default_timeout(10_000)
        tabs.append(tab := Tab(page, base))
        if path is not None:
            await tab.goto(path)
        return tab

    yield open_one
    for tab in tabs:
        await tab.page.context.close()
    assert not [error for tab in tabs for error in tab.errors]


@pytest.fixture
def tokens_file_and_token(tmp_path: Path) -> tuple[str, str]:
    """Return the path of a file with one token, and that token."""
    token, line = generate_token("alice")
    (tmp_path / "tokens").write_text(line)
    return str(tmp_path / "tokens"), token
