"""Errors on the home page: how each kind is shown, and what the user can do about it."""

import asyncio

import aiohttp
import pytest

from tests.browser.conftest import OpenTab
from tests.support.browser_answerers import HTML_INJECTION, EchoAnswerer

pytestmark = pytest.mark.asyncio(loop_scope="session")

STORED_SIZE_SCRIPT = "localStorage.length + sessionStorage.length + document.cookie.length"


async def test_suggestions(open_tab: OpenTab) -> None:
    """A suggestion is a button that asks it; the focus moves to the answer."""
    tab = await open_tab(EchoAnswerer(), "/?q=nothing")
    await tab.wait_for_answer("No answer")
    assert await tab.texts("#answer .chip") == ["something", HTML_INJECTION]
    await tab.page.get_by_role("button", name="something").press("Enter")
    await tab.wait_for_answer()
    assert await tab.text("#answer .text") == "something"
    assert await tab.page.evaluate("document.activeElement.id") == "answer"


async def test_token_is_kept_in_memory_only(open_tab: OpenTab, tokens_file_and_token: tuple[str, str]) -> None:
    """A 401 asks for the token and retries with it; the token is not stored or shown, and a reload forgets it."""
    tokens_file, token = tokens_file_and_token
    tab = await open_tab(EchoAnswerer(), "/?q=hello", tokens_file=tokens_file)
    await tab.wait_for_answer("Unauthorized")
    assert await tab.page.evaluate("document.activeElement.id") == "token"
    await tab.page.keyboard.type("wrong")
    await tab.page.keyboard.press("Enter")
    await tab.page.get_by_text("The token is invalid").wait_for()
    await tab.page.locator("#token").fill(token)
    await tab.page.get_by_role("button", name="Send with token").click()
    await tab.wait_for_answer()
    await tab.ask("hello again")
    await tab.page.locator("#answer .text", has_text="hello again").wait_for()
    assert await tab.text("#curl") == f"""curl '{tab.base}/ask?q=hello+again' -H "Authorization: Bearer $ASKD_TOKEN\""""
    assert await tab.page.evaluate(STORED_SIZE_SCRIPT) == 0
    assert token not in tab.page.url + await tab.page.content()
    await tab.page.reload()
    await tab.wait_for_answer("Unauthorized")
    assert await tab.page.input_value("#token") == ""


async def test_429_is_retried_automatically(open_tab: OpenTab) -> None:
    """A 429 counts down, then the page retries."""
    tab = await open_tab(EchoAnswerer(), "/?q=hello", rate_limit="1/s")
    await tab.wait_for_answer()
    await tab.ask("more")
    await tab.wait_for_answer("Too many requests")
    assert (await tab.text("[role=timer]")).startswith("Retrying in ")
    await tab.wait_for_answer()
    assert await tab.text("#answer .text") == "more"


async def test_long_wait_is_not_retried_automatically(open_tab: OpenTab) -> None:
    """If the wait exceeds a minute, the page counts down but leaves the retry to the user."""
    tab = await open_tab(EchoAnswerer(), None, rate_limit="1/h")
    await tab.page.clock.install()
    await tab.goto("/?q=hello")
    await tab.wait_for_answer()
    await tab.ask("more")
    await tab.wait_for_answer("Too many requests")
    await tab.page.get_by_text("You can retry in").wait_for()
    await tab.page.clock.fast_forward("01:01:00")
    await tab.page.get_by_text("You can retry now.").wait_for()
    assert await tab.page.get_by_role("button", name="Retry now").is_visible()


async def test_503_is_retried_three_times(open_tab: OpenTab) -> None:
    """A 503 is retried automatically three times, then by the button."""
    answerer = EchoAnswerer()
    tab = await open_tab(answerer, None, concurrency="1", queue_size="0")
    await tab.page.clock.install()
    await tab.goto()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(_fetch(session, f"{tab.base}/ask?q=wait"))
        await answerer.wait_started.wait()
        await tab.ask("hello")
        for number in range(2, 5):
            await tab.page.get_by_text("Retrying in").wait_for()
            await tab.page.clock.run_for(5_000)
            await tab.page.wait_for_selector(f"#history input[value='{number}']", state="attached")
        await tab.wait_for_answer("Overloaded")
        await tab.page.get_by_text("You can retry in").wait_for()
        answerer.release.set()
    await tab.page.get_by_role("button", name="Retry now").click()
    await tab.wait_for_answer()


async def _fetch(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as response:
        await response.read()


async def test_automatic_retry_can_be_cancelled(open_tab: OpenTab) -> None:
    """The countdown can be cancelled."""
    tab = await open_tab(EchoAnswerer(), "/?q=hello", rate_limit="2/m", rate_burst="1")
    await tab.wait_for_answer()
    await tab.ask("more")
    await tab.page.get_by_role("button", name="Cancel retry").click()
    await tab.page.get_by_text("Retry cancelled.").wait_for()


@pytest.mark.parametrize(
    ("question", "title", "settings"),
    [("wait", "Deadline exceeded", {"deadline": "50ms"}), ("boom", "The answerer failed", {})],
)
async def test_server_errors_can_be_retried(
    open_tab: OpenTab, question: str, title: str, settings: dict[str, str]
) -> None:
    """A 504 and a 500 show no internal details, link to their documentation and can be retried."""
    answerer = EchoAnswerer()
    tab = await open_tab(answerer, f"/?q={question}", **settings)
    await tab.wait_for_answer(title)
    assert "secret" not in await tab.text("#answer")
    assert (await tab.page.get_by_role("link", name="About this problem").get_attribute("href") or "").startswith(
        "/docs#"
    )
    answerer.release.set()
    await tab.page.get_by_role("button", name="Retry").click()
    await tab.page.wait_for_selector("#history input[value='2']", state="attached")


async def test_invalid_field_is_marked(open_tab: OpenTab) -> None:
    """A 400 marks the field that it names until the next request."""
    tab = await open_tab(EchoAnswerer())
    await tab.ask(" ")
    await tab.wait_for_answer("Bad question")
    assert await tab.page.get_attribute("#q", "aria-invalid") == "true"
    await tab.ask("hello")
    await tab.wait_for_answer()
    assert await tab.page.get_attribute("#q", "aria-invalid") is None


async def test_offline(open_tab: OpenTab) -> None:
    """The page reports that it is offline, and sends the question when the network is back."""
    tab = await open_tab(EchoAnswerer())
    await tab.page.context.set_offline(True)
    await tab.ask("hello")
    await tab.wait_for_answer("You are offline")
    await tab.page.context.set_offline(False)
    await tab.wait_for_answer()
    assert await tab.text("#answer .text") == "hello"


async def test_unreachable_server(open_tab: OpenTab) -> None:
    """If the server cannot be reached, the page reports it and offers a retry."""
    tab = await open_tab(EchoAnswerer())
    await tab.page.route("**/ask?**", lambda route: route.abort("connectionrefused"))
    await tab.ask("hello")
    await tab.wait_for_answer("No response")
    await tab.page.unroute_all()
    await tab.page.get_by_role("button", name="Retry").click()
    await tab.wait_for_answer()


async def test_error_page_asks_again(open_tab: OpenTab) -> None:
    """The page of a failed link has the question in a box; the corrected question is asked with its parameters."""
    tab = await open_tab(EchoAnswerer(), "/ask?q=nothing&mood=calm")
    assert await tab.page.input_value("#q") == "nothing"
    await tab.page.locator("#q").fill("something")
    await tab.page.get_by_role("button", name="Ask again").click()
    await tab.page.wait_for_url("**/ask?q=something&mood=calm")
    assert '"answer":"something"' in await tab.page.content()
