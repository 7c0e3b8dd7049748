"""The home page in a real browser: asking, streaming, the timeline and the history."""

import pytest

from tests.browser.conftest import OpenTab
from tests.support.browser_answerers import HTML_INJECTION, EchoAnswerer, StreamingAnswerer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_ask_with_keyboard(open_tab: OpenTab) -> None:
    """Enter sends the question; the answer and its metadata appear, and the focus stays."""
    tab = await open_tab(EchoAnswerer())
    await tab.page.keyboard.type(HTML_INJECTION)
    await tab.page.keyboard.press("Enter")
    await tab.wait_for_answer()
    assert await tab.text("#answer .text") == HTML_INJECTION
    assert f'"length": {len(HTML_INJECTION)}' in await tab.text("#answer pre")
    assert (await tab.text("#answer .metadata")).startswith("200 OK · from ")
    assert await tab.page.evaluate("document.activeElement.id") == "q"
    assert "stolen" not in await tab.page.title()


async def test_link_with_question(open_tab: OpenTab) -> None:
    """A link with a question asks it, so links to answers can be shared."""
    tab = await open_tab(EchoAnswerer(), "/?q=hello")
    await tab.wait_for_answer()
    assert await tab.text("#answer .text") == "hello"
    assert await tab.text("#curl") == f"curl '{tab.base}/ask?q=hello'"


async def test_example(open_tab: OpenTab) -> None:
    """A click on an example asks it without leaving the page."""
    tab = await open_tab(EchoAnswerer())
    await tab.page.get_by_role("link", name="hello").click()
    await tab.wait_for_answer()
    assert (await tab.text("#answer .text"), tab.page.url) == ("hello", f"{tab.base}/?q=hello")


async def test_timeline_has_no_gaps(open_tab: OpenTab) -> None:
    """The bars of the five stages follow each other without gaps and cover the whole request."""
    tab = await open_tab(EchoAnswerer(), "/?q=hello")
    await tab.wait_for_answer()
    bars = await tab.page.evaluate(
        "[...document.querySelectorAll('.track i')]"
        ".map(({ style }) => [parseFloat(style.left), parseFloat(style.width)])"
    )
    end = 0.0
    for left, width in sorted(bars):
        assert left == pytest.approx(end, abs=0.01)
        end = left + width
    assert end == pytest.approx(100, abs=0.01)
    assert all(time.endswith("s") or time == "–" for time in await tab.texts(".stages .time"))


async def test_server_stages(open_tab: OpenTab, tokens_file_and_token: tuple[str, str]) -> None:
    """The stages in Server-Timing are shown below the timeline."""
    tokens_file, token = tokens_file_and_token
    answerer = EchoAnswerer()
    answerer.deterministic = True
    tab = await open_tab(answerer, "/?q=hello", tokens_file=tokens_file, rate_limit="60/m")
    await tab.page.locator("#token").fill(token)
    await tab.page.keyboard.press("Enter")
    await tab.wait_for_answer()
    stages = [text.split(" ")[0] for text in await tab.texts("#server-stages li")]
    assert stages == ["auth", "rate_limit", "cache", "queue", "answerer", "render", "other"]


async def test_history(open_tab: OpenTab) -> None:
    """The chart keeps twenty requests and marks failed ones; arrow keys select the one in the timeline."""
    tab = await open_tab(EchoAnswerer())
    for number in range(1, 22):
        await tab.ask(f"question {number}")
        await tab.page.wait_for_selector(f"#history input[value='{number}']")
    await tab.ask("nothing")
    await tab.wait_for_answer("No answer")
    columns = tab.page.locator("#history input")
    assert await columns.count() == 20
    assert str(await columns.first.get_attribute("aria-label")).startswith("3: question 3, 200, ")
    assert await tab.page.locator("#history label.failed").count() == 1
    assert (await tab.text("#timeline-note")).startswith("Request 22, “nothing”")
    await columns.last.focus()
    await tab.page.keyboard.press("ArrowLeft")
    assert (await tab.text("#timeline-note")).startswith("Request 21, “question 21”")


async def test_streaming_below_a_prefix(open_tab: OpenTab) -> None:
    """A streamed answer grows as it arrives, and its other fields are shown at the end."""
    answerer = StreamingAnswerer()
    tab = await open_tab(answerer, "/?q=hi&words=3", prefix="/answers")
    text = tab.page.locator("#answer .text")
    await text.filter(has_text="Once").wait_for()
    assert await text.text_content() == "Once "
    assert await tab.page.get_attribute("#answer", "aria-busy") == "true"
    answerer.without_pauses()
    await tab.wait_for_answer()
    assert await text.text_content() == "Once upon a time."
    assert "first words after" in await tab.text("#timeline-note")
    assert await tab.page.input_value("#p-words") == "3"


async def test_cancel(open_tab: OpenTab) -> None:
    """The button cancels a stream on the page and on the server; the received text stays."""
    answerer = StreamingAnswerer()
    tab = await open_tab(answerer, "/?q=hi")
    await tab.page.locator("#answer .text").filter(has_text="Once").wait_for()
    await tab.page.get_by_role("button", name="Cancel").click()
    await tab.wait_for_answer("Cancelled")
    await answerer.stream_closed.wait()
    assert await tab.text("#answer .text") == "Once "


async def test_stream_that_fails(open_tab: OpenTab) -> None:
    """If a stream fails, the received text stays above the problem."""
    tab = await open_tab(StreamingAnswerer().without_pauses(), "/?q=boom")
    await tab.wait_for_answer("The answerer failed")
    assert await tab.text("#answer .text") == "Once upon a time."


async def test_truncated_stream(open_tab: OpenTab) -> None:
    """A truncated stream is an error that can be retried."""
    tab = await open_tab(StreamingAnswerer())
    await tab.page.route(
        "**/ask?**", lambda route: route.fulfill(content_type="text/event-stream", body=_TRUNCATED_STREAM)
    )
    await tab.ask("hi")
    await tab.wait_for_answer("The stream ended early")
    assert await tab.text("#answer .text") == "Once "
    assert await tab.page.get_by_role("button", name="Retry").is_visible()


_TRUNCATED_STREAM = 'event: delta\ndata: "Once "\n\n'


async def test_without_script(open_tab: OpenTab) -> None:
    """Without JavaScript the browser submits the form."""
    tab = await open_tab(EchoAnswerer(), context={"java_script_enabled": False})
    await tab.ask("hello")
    await tab.page.wait_for_url("**/ask?q=hello")
    assert '{"answer":"hello"' in await tab.page.content()


async def test_reduced_motion(open_tab: OpenTab) -> None:
    """`prefers-reduced-motion` disables the animation."""
    for preference, animation in (("reduce", "none"), ("no-preference", "grow")):
        tab = await open_tab(EchoAnswerer(), "/?q=hello", context={"reduced_motion": preference})
        await tab.wait_for_answer()
        assert (
            await tab.page.evaluate("getComputedStyle(document.querySelector('.track i')).animationName") == animation
        )
