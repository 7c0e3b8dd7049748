"""The home page in a real browser: asking, streaming, and the drawing of what it took."""

import pytest

from tests.browser.conftest import Open
from tests.browser.moods import EVIL, Echo, Talker, Teller

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_asking_with_the_keyboard(open_tab: Open) -> None:
    """Typing and Enter ask; the answer, the instance and the times appear, and the focus stays."""
    tab = await open_tab(Echo())
    await tab.page.keyboard.type(EVIL)
    await tab.page.keyboard.press("Enter")
    await tab.answered()
    assert await tab.text("#answer .text") == EVIL
    assert f'"length": {len(EVIL)}' in await tab.text("#answer pre")
    assert (await tab.text("#answer .facts")).startswith("200 OK · from ")
    assert await tab.page.evaluate("document.activeElement.id") == "q"
    assert "stolen" not in await tab.page.title()


async def test_a_link_asks(open_tab: Open) -> None:
    """An address with a question asks it, so that an answer can be passed on."""
    tab = await open_tab(Echo(), "/?q=hello")
    await tab.answered()
    assert await tab.text("#answer .text") == "hello"
    assert await tab.text("#curl") == f"curl '{tab.base}/ask?q=hello'"


async def test_an_example_asks(open_tab: Open) -> None:
    """A click on an example asks it, and the page stays where it is."""
    tab = await open_tab(Echo())
    await tab.page.get_by_role("link", name="hello").click()
    await tab.answered()
    assert (await tab.text("#answer .text"), tab.page.url) == ("hello", f"{tab.base}/?q=hello")


async def test_five_stages_add_up(open_tab: Open) -> None:
    """The bars of the five stages lie one after another, without a gap, over the whole."""
    tab = await open_tab(Echo(), "/?q=hello")
    await tab.answered()
    bars = await tab.page.evaluate(
        "[...document.querySelectorAll('.track i')]"
        ".map(({ style }) => [parseFloat(style.left), parseFloat(style.width)])"
    )
    at = 0.0
    for left, width in sorted(bars):
        assert left == pytest.approx(at, abs=0.01)
        at = left + width
    assert at == pytest.approx(100, abs=0.01)
    assert all(time.endswith("s") or time == "–" for time in await tab.texts(".stations .time"))


async def test_the_server_tells_all_its_stages(open_tab: Open, tokens: tuple[str, str]) -> None:
    """What each guard took stands below the stages, with the code, the rendering and the rest."""
    file, token = tokens
    echo = Echo()
    echo.deterministic = True
    tab = await open_tab(echo, "/?q=hello", tokens_file=file, rate="60/m")
    await tab.page.locator("#token").fill(token)
    await tab.page.keyboard.press("Enter")
    await tab.answered()
    named = [text.split(" ")[0] for text in await tab.texts("#inside li")]
    assert named == ["auth", "rate", "cache", "queue", "code", "render", "rest"]


async def test_the_last_twenty(open_tab: Open) -> None:
    """The chart holds twenty exchanges, the failed ones marked; the arrow keys choose which one the stages show."""
    tab = await open_tab(Echo())
    for number in range(1, 22):
        await tab.ask(f"question {number}")
        await tab.page.wait_for_selector(f"#history input[value='{number}']")
    await tab.ask("nothing")
    await tab.answered("No answer")
    columns = tab.page.locator("#history input")
    assert await columns.count() == 20
    assert str(await columns.first.get_attribute("aria-label")).startswith("3: question 3, 200, ")
    assert await tab.page.locator("#history label.failed").count() == 1
    assert (await tab.text("#note")).startswith("Number 22, “nothing”")
    await columns.last.focus()
    await tab.page.keyboard.press("ArrowLeft")
    assert (await tab.text("#note")).startswith("Number 21, “question 21”")


async def test_streaming_below_a_prefix(open_tab: Open) -> None:
    """An answer that streams grows as it comes, then its other fields stand beside it."""
    teller = Teller()
    tab = await open_tab(teller, "/?q=hi&words=3", prefix="/answers")
    text = tab.page.locator("#answer .text")
    await text.filter(has_text="Once").wait_for()
    assert await text.text_content() == "Once "
    assert await tab.page.get_attribute("#answer", "aria-busy") == "true"
    teller.told()
    await tab.answered()
    assert await text.text_content() == "Once upon a time."
    assert "first words came after" in await tab.text("#note")
    assert await tab.page.input_value("#p-words") == "3"


async def test_stop(open_tab: Open) -> None:
    """The button stops a stream: what has come stays, and the code is stopped on the server."""
    teller = Teller()
    tab = await open_tab(teller, "/?q=hi")
    await tab.page.locator("#answer .text").filter(has_text="Once").wait_for()
    await tab.page.get_by_role("button", name="Stop").click()
    await tab.answered("Stopped")
    await teller.stopped.wait()
    assert await tab.text("#answer .text") == "Once "


async def test_a_stream_that_fails(open_tab: Open) -> None:
    """Where a stream fails, what had come stays above the problem."""
    tab = await open_tab(Teller().told(), "/?q=boom")
    await tab.answered("The answerer failed")
    assert await tab.text("#answer .text") == "Once upon a time."


async def test_a_stream_that_breaks_off(open_tab: Open) -> None:
    """A stream without an end is told apart from an answer, and can be asked again."""
    tab = await open_tab(Teller())
    await tab.page.route("**/ask?**", lambda route: route.fulfill(content_type="text/event-stream", body=_CUT))
    await tab.ask("hi")
    await tab.answered("The stream broke off")
    assert await tab.text("#answer .text") == "Once "
    assert await tab.page.get_by_role("button", name="Ask again").is_visible()


_CUT = 'event: delta\ndata: "Once "\n\n'


async def test_a_thread_shows_its_earlier_turns(open_tab: Open) -> None:
    """Earlier turns of a thread stand above the answer; without a thread, or in another, there are none."""
    tab = await open_tab(Talker())
    await tab.page.locator("#p-thread").fill("a")
    for text in ("one", "two", "three"):
        await tab.ask(text)
        await tab.page.locator("#answer .text", has_text=text).wait_for()
    assert await tab.texts("#turns > *") == ["one", "one", "two", "two"]
    await tab.page.locator("#p-thread").fill("b")
    await tab.ask("four")
    await tab.page.locator("#answer .text", has_text="four").wait_for()
    assert not await tab.page.locator("#turns").is_visible()


async def test_without_script(open_tab: Open) -> None:
    """Without script the form asks by itself."""
    tab = await open_tab(Echo(), context={"java_script_enabled": False})
    await tab.ask("hello")
    await tab.page.wait_for_url("**/ask?q=hello")
    assert '{"answer":"hello"' in await tab.page.content()


async def test_reduced_motion(open_tab: Open) -> None:
    """Who wants less motion gets none."""
    for wish, name in (("reduce", "none"), ("no-preference", "grow")):
        tab = await open_tab(Echo(), "/?q=hello", context={"reduced_motion": wish})
        await tab.answered()
        assert await tab.page.evaluate("getComputedStyle(document.querySelector('.track i')).animationName") == name
