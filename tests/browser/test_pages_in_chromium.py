"""The pages in a real browser, served by the real app under its strict policy."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from aiohttp.test_utils import TestServer

from service.app import LOADED, create_app
from service.errors import NoAnswer
from service.models import Answer, Answerer, Question
from service.settings import Settings
from tests.browser.chromium import PROGRAM, Tab, chromium
from tests.browser.chromium import tab as open_tab
from tests.web.page_fakes import Book, Storyteller

if PROGRAM is None:
    pytest.skip("no chromium here", allow_module_level=True)

EVIL = "<img src=x onerror=document.title='stolen'>"
Start = Callable[..., Awaitable[str]]


class Echo(Book):
    """Answers with the question, except "nothing", to which it suggests one."""

    async def answer(self, question: Question) -> Answer:
        """Say what was said."""
        if question.text == "nothing":
            raise NoAnswer(["something", EVIL])
        return Answer(question.text, {"length": len(question.text)})


class Teller(Storyteller):
    """Tells a story word by word."""

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield a few words."""
        for word in ("Once ", "upon ", "a time."):
            yield word
        yield Answer("Once upon a time.", {"mood": "calm"})


class Endless(Storyteller):
    """Says one word, then goes on for ever; `stopped` is set when it is stopped."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield a word and wait."""
        try:
            yield "Once "
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One browser for all tests: the address of its debugger."""
    with chromium(tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
async def tab(browser: str) -> AsyncIterator[Tab]:
    """A tab that must not have had anything to complain of in the end."""
    async with open_tab(browser) as found:
        yield found
    assert not found.faults


@pytest.fixture
def start(aiohttp_server: Callable[..., Awaitable[TestServer]]) -> Start:
    """Serve an answerer; the result is the address of its home page without the last slash."""

    async def started(answerer: Answerer, prefix: str = "") -> str:
        app = create_app(Settings(prefix=prefix), answerer=answerer)
        server = await aiohttp_server(app)
        await app[LOADED]
        return str(server.make_url(prefix or "/")).rstrip("/")

    return started


async def _times(tab: Tab) -> list[str]:
    found: list[str] = await tab.run("[...document.querySelectorAll('.stations .time')].map((one) => one.textContent)")
    return found


async def test_asking_with_the_keyboard(tab: Tab, start: Start) -> None:
    """Typing and Enter ask; the answer, the instance and the times appear, and the focus stays."""
    await tab.open(f"{await start(Echo())}/")
    await tab.type(EVIL)
    await tab.press("Enter")
    await tab.until("document.querySelector('#answer .facts')")
    assert await tab.text("#answer .text") == EVIL
    assert f'"length": {len(EVIL)}' in await tab.text("#answer pre")
    assert (await tab.text("#answer .facts")).startswith("200 OK · from ")
    assert await tab.run("document.activeElement.id") == "q"
    assert all(time.endswith(" ms") for time in await _times(tab))
    assert "stolen" not in await tab.run("document.title")


async def test_a_link_asks(tab: Tab, start: Start) -> None:
    """An address with a question asks it, so that an answer can be passed on."""
    await tab.open(f"{await start(Echo())}/?q=hello")
    await tab.until("document.querySelector('#answer .facts')")
    assert await tab.text("#answer .text") == "hello"
    assert await tab.text("#curl") == f"curl '{await tab.run('location.origin')}/ask?q=hello'"


async def test_suggestions_can_be_asked(tab: Tab, start: Start) -> None:
    """Where there is no answer, a click on a suggestion asks it."""
    await tab.open(f"{await start(Echo())}/?q=nothing")
    await tab.until("document.querySelector('#answer.failed .facts')")
    assert await tab.text("#answer h2") == "No answer"
    assert await tab.text("#answer li:nth-child(2)") == EVIL
    await tab.run("document.querySelector('#answer a[data-ask]').click()")
    await tab.until("document.querySelector('#answer:not(.failed) .facts')")
    assert await tab.text("#answer .text") == "something"


async def test_streaming_below_a_prefix(tab: Tab, start: Start) -> None:
    """An answer that streams grows as it comes, then its other fields stand beside it."""
    await tab.open(f"{await start(Teller(), '/answers')}/?q=hi&words=3")
    await tab.until("document.querySelector('#answer pre')")
    assert await tab.text("#answer .text") == "Once upon a time."
    assert (await tab.text("#note")).startswith("The first words came after")
    assert await tab.run("document.querySelector('#p-words').value") == "3"


async def test_stop(tab: Tab, start: Start) -> None:
    """The button stops a stream: what has come stays, and the code is stopped on the server."""
    answerer = Endless()
    await tab.open(f"{await start(answerer)}/?q=hi")
    await tab.until("document.querySelector('#answer .text')?.textContent")
    assert await tab.text("#ask button") == "Stop"
    await tab.run("document.querySelector('#ask button').click()")
    await tab.until("document.querySelector('#answer h2')")
    await answerer.stopped.wait()
    assert [await tab.text("#answer .text"), await tab.text("#answer h2")] == ["Once ", "Stopped"]


async def test_server_gone(tab: Tab, start: Start) -> None:
    """Where the server cannot be reached, the page says so."""
    await tab.open(f"{await start(Echo())}/")
    await tab.send("Network.enable")
    given = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    await tab.send("Network.emulateNetworkConditions", **given)
    await tab.type("hello")
    await tab.press("Enter")
    await tab.until("document.querySelector('#answer.failed h2')")
    assert await tab.text("#answer h2") == "No response"


@pytest.mark.parametrize("operation", ["ask", "askWithBody", "home", "docs", "openapi", "metrics", "readyz"])
async def test_try_it(tab: Tab, start: Start, operation: str) -> None:
    """Each operation can be tried: its curl line, status, headers, body and time are shown."""
    await tab.open(f"{await start(Teller(), '/answers')}/docs")
    form = f"#operation-{operation} form"
    await tab.run(f"document.querySelector('{form}').requestSubmit()")
    assert await tab.until(f"document.querySelector('{form} .result .status')?.textContent")
    assert (await tab.text(f"{form} .result .status")).startswith("200 OK ")
    assert "content-type: " in await tab.text(f"{form} .headers")
    assert (await tab.text(f"{form} .curl code")).startswith(f"curl '{await tab.run('location.origin')}/")


async def test_try_it_shows_problems(tab: Tab, start: Start) -> None:
    """Faulty values are sent as they are, in JSON and in a form, and the problem is shown."""
    await tab.open(f"{await start(Echo())}/docs")
    form = "#operation-askWithBody form"
    for media in ("application/json", "application/x-www-form-urlencoded"):
        await tab.run(f"document.querySelector('{form} [name=Content-Type]').value = '{media}'")
        await tab.run(f"document.querySelector('{form} [name=q]').value = ''")
        await tab.run(f"document.querySelector('{form} .result').replaceChildren()")
        await tab.run(f"document.querySelector('{form}').requestSubmit()")
        await tab.until(f"document.querySelector('{form} .result .status.failed')")
        body = json.loads(await tab.text(f"{form} .result pre:last-child"))
        assert (body["status"], body["parameter"]) == (400, "q")


@pytest.mark.parametrize("path", ["/", "/docs", "/?q=nothing", "/nowhere"])
async def test_narrow(tab: Tab, start: Start, path: str) -> None:
    """At 360 pixels no page is wider than the screen."""
    await tab.send("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    await tab.open((await start(Echo())) + path)
    assert await tab.run("document.documentElement.scrollWidth") <= 360


async def test_keyboard_order(tab: Tab, start: Start) -> None:
    """The first key press offers to skip to the content, and what has the focus can be seen."""
    await tab.open(f"{await start(Echo())}/docs")
    await tab.press("Tab")
    assert await tab.run("document.activeElement.className") == "skip"
    await tab.press("Tab")
    assert await tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


async def test_without_script(tab: Tab, start: Start) -> None:
    """Without script the form asks by itself."""
    address = await start(Echo())
    await tab.send("Emulation.setScriptExecutionDisabled", value=True)
    await tab.open(f"{address}/")
    await tab.send("DOM.enable")
    root = (await tab.send("DOM.getDocument"))["root"]["nodeId"]
    found = await tab.send("DOM.querySelector", nodeId=root, selector="#q")
    await tab.send("DOM.focus", nodeId=found["nodeId"])
    await tab.type("hello")
    loaded = tab.loading()
    await tab.press("Enter")
    await loaded
    await tab.send("Emulation.setScriptExecutionDisabled", value=False)
    assert await tab.run("location.pathname + location.search") == "/ask?q=hello"
    assert '{"answer":"hello"' in await tab.run("document.body.textContent")
