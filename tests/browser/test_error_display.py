"""Each way in which an exchange can fail, as the home page shows it, and what can be done about it."""

import asyncio

import aiohttp
import pytest

from tests.browser.conftest import Open
from tests.browser.moods import EVIL, Echo

pytestmark = pytest.mark.asyncio(loop_scope="session")

STORED = "localStorage.length + sessionStorage.length + document.cookie.length"


async def test_suggestions_can_be_asked(open_tab: Open) -> None:
    """Where there is no answer, a suggestion is a button that asks it; the focus goes to what comes."""
    tab = await open_tab(Echo(), "/?q=nothing")
    await tab.answered("No answer")
    assert await tab.texts("#answer .chip") == ["something", EVIL]
    await tab.page.get_by_role("button", name="something").press("Enter")
    await tab.answered()
    assert await tab.text("#answer .text") == "something"
    assert await tab.page.evaluate("document.activeElement.id") == "answer"


async def test_a_token_is_kept_in_memory_only(open_tab: Open, tokens: tuple[str, str]) -> None:
    """A 401 asks for the token and asks again with it; nothing stores or shows it, a reload forgets it."""
    file, token = tokens
    tab = await open_tab(Echo(), "/?q=hello", tokens_file=file)
    await tab.answered("Unauthorized")
    assert await tab.page.evaluate("document.activeElement.id") == "token"
    await tab.page.keyboard.type("wrong")
    await tab.page.keyboard.press("Enter")
    await tab.page.get_by_text("This token is not known here").wait_for()
    await tab.page.locator("#token").fill(token)
    await tab.page.get_by_role("button", name="Ask with it").click()
    await tab.answered()
    await tab.ask("hello again")
    await tab.page.locator("#answer .text", has_text="hello again").wait_for()
    assert await tab.text("#curl") == f"""curl '{tab.base}/ask?q=hello+again' -H "Authorization: Bearer $ASKD_TOKEN\""""
    assert await tab.page.evaluate(STORED) == 0
    assert token not in tab.page.url + await tab.page.content()
    await tab.page.reload()
    await tab.answered("Unauthorized")
    assert await tab.page.input_value("#token") == ""


async def test_too_many_are_asked_again(open_tab: Open) -> None:
    """A 429 counts down and then asks again by itself."""
    tab = await open_tab(Echo(), "/?q=hello", rate="1/s")
    await tab.answered()
    await tab.ask("more")
    await tab.answered("Too many requests")
    assert (await tab.text("[role=timer]")).startswith("Asked again in ")
    await tab.answered()
    assert await tab.text("#answer .text") == "more"


async def test_a_long_wait_is_offered(open_tab: Open) -> None:
    """Where the wait is longer than a minute the page counts, and leaves the asking to whoever reads it."""
    tab = await open_tab(Echo(), None, rate="1/h")
    await tab.page.clock.install()
    await tab.go("/?q=hello")
    await tab.answered()
    await tab.ask("more")
    await tab.answered("Too many requests")
    await tab.page.get_by_text("It may be asked again in").wait_for()
    await tab.page.clock.fast_forward("01:01:00")
    await tab.page.get_by_text("It may be asked again.").wait_for()
    assert await tab.page.get_by_role("button", name="Ask now").is_visible()


async def test_an_overloaded_server_is_asked_three_times(open_tab: Open) -> None:
    """A 503 is asked again after its time, three times by itself; the button asks once more, and there is an answer."""
    echo = Echo()
    tab = await open_tab(echo, None, concurrency="1", queue="0")
    await tab.page.clock.install()
    await tab.go()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(_fetched(session, f"{tab.base}/ask?q=wait"))
        await echo.waits.wait()
        await tab.ask("hello")
        for number in range(2, 5):
            await tab.page.get_by_text("Asked again in").wait_for()
            await tab.page.clock.run_for(5_000)
            await tab.page.wait_for_selector(f"#history input[value='{number}']", state="attached")
        await tab.answered("Overloaded")
        await tab.page.get_by_text("It may be asked again in").wait_for()
        echo.release.set()
    await tab.page.get_by_role("button", name="Ask now").click()
    await tab.answered()


async def _fetched(session: aiohttp.ClientSession, address: str) -> None:
    async with session.get(address) as response:
        await response.read()


async def test_it_can_be_told_not_to_ask_again(open_tab: Open) -> None:
    """The countdown can be stopped."""
    tab = await open_tab(Echo(), "/?q=hello", rate="2/m", rate_burst="1")
    await tab.answered()
    await tab.ask("more")
    await tab.page.get_by_role("button", name="Do not ask again").click()
    await tab.page.get_by_text("Not asked again.").wait_for()


@pytest.mark.parametrize(
    ("question", "title", "settings"),
    [("wait", "Deadline exceeded", {"deadline": "50ms"}), ("boom", "The answerer failed", {})],
)
async def test_what_failed_can_be_asked_again(
    open_tab: Open, question: str, title: str, settings: dict[str, str]
) -> None:
    """A 504 and a 500 say what happened, lead to their meaning, and offer to ask again; nothing internal is shown."""
    echo = Echo()
    tab = await open_tab(echo, f"/?q={question}", **settings)
    await tab.answered(title)
    assert "secret" not in await tab.text("#answer")
    assert (await tab.page.get_by_role("link", name="What this means").get_attribute("href") or "").startswith("/docs#")
    echo.release.set()
    await tab.page.get_by_role("button", name="Ask again").click()
    await tab.page.wait_for_selector("#history input[value='2']", state="attached")


async def test_a_faulty_question_is_pointed_at(open_tab: Open) -> None:
    """A 400 marks the field that it names, until it is asked anew."""
    tab = await open_tab(Echo())
    await tab.ask(" ")
    await tab.answered("Bad question")
    assert await tab.page.get_attribute("#q", "aria-invalid") == "true"
    await tab.ask("hello")
    await tab.answered()
    assert await tab.page.get_attribute("#q", "aria-invalid") is None


async def test_offline(open_tab: Open) -> None:
    """Without a network the page says so, and asks as soon as there is one."""
    tab = await open_tab(Echo())
    await tab.page.context.set_offline(True)
    await tab.ask("hello")
    await tab.answered("You are offline")
    await tab.page.context.set_offline(False)
    await tab.answered()
    assert await tab.text("#answer .text") == "hello"


async def test_server_gone(open_tab: Open) -> None:
    """Where the server cannot be reached, the page says so, and offers to ask again."""
    tab = await open_tab(Echo())
    await tab.page.route("**/ask?**", lambda route: route.abort("connectionrefused"))
    await tab.ask("hello")
    await tab.answered("No response")
    await tab.page.unroute_all()
    await tab.page.get_by_role("button", name="Ask again").click()
    await tab.answered()
