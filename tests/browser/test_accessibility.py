"""Accessibility of every page in every state: axe-core finds no violations, and pages fit a narrow screen."""

from typing import Any

import pytest

from tests.browser.conftest import OpenTab, Tab
from tests.support.browser_answerers import ConversationalEcho, EchoAnswerer, StreamingAnswerer

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROW = {"width": 360, "height": 740}
CONTEXTS: dict[str, dict[str, Any]] = {
    "wide, light": {"viewport": {"width": 1200, "height": 800}, "color_scheme": "light"},
    "narrow, dark": {"viewport": NARROW, "color_scheme": "dark"},
}
BY_CONTEXT = pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)


async def assert_accessible(tab: Tab) -> None:
    """Check that axe-core finds no violations, and that the page does not scroll horizontally."""
    from axe_playwright_python.async_playwright import Axe

    await tab.page.evaluate("Promise.all(document.getAnimations().map((animation) => animation.finished))")
    results = await Axe().run(tab.page)
    assert not results.violations_count, results.generate_report()
    width = await tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0


@BY_CONTEXT
@pytest.mark.parametrize("path", ["/", "/docs", "/nowhere"])
async def test_initial_state(open_tab: OpenTab, context: dict[str, Any], path: str) -> None:
    """Every page is accessible when it is opened."""
    await assert_accessible(await open_tab(StreamingAnswerer().without_pauses(), path, context=context))


@BY_CONTEXT
async def test_answer(open_tab: OpenTab, context: dict[str, Any]) -> None:
    """The home page is accessible with an answer, a timeline, a history and a conversation."""
    tab = await open_tab(ConversationalEcho(), "/", context=context)
    await tab.page.locator("#p-thread").fill("a")
    for text in ("one", "a" * 300):
        await tab.ask(text)
        await tab.page.locator("#answer .text", has_text=text).wait_for()
    await tab.wait_for_answer()
    await assert_accessible(tab)


@BY_CONTEXT
@pytest.mark.parametrize(("question", "title"), [("nothing", "No answer"), ("boom", "The answerer failed")])
async def test_problem(open_tab: OpenTab, context: dict[str, Any], question: str, title: str) -> None:
    """The home page is accessible with suggestions, and with an error."""
    tab = await open_tab(EchoAnswerer(), f"/?q={question}", context=context)
    await tab.wait_for_answer(title)
    await assert_accessible(tab)


@BY_CONTEXT
async def test_token_form_and_countdown(
    open_tab: OpenTab, context: dict[str, Any], tokens_file_and_token: tuple[str, str]
) -> None:
    """The home page is accessible while it asks for a token, and while it counts down."""
    tokens_file, token = tokens_file_and_token
    tab = await open_tab(EchoAnswerer(), "/?q=hello", context=context, tokens_file=tokens_file, rate_limit="1/m")
    await tab.wait_for_answer("Unauthorized")
    await assert_accessible(tab)
    await tab.page.locator("#token").fill(token)
    await tab.page.keyboard.press("Enter")
    await tab.wait_for_answer()
    await tab.ask("more")
    await tab.wait_for_answer("Too many requests")
    await assert_accessible(tab)


@BY_CONTEXT
async def test_reference_with_results(
    open_tab: OpenTab, context: dict[str, Any], tokens_file_and_token: tuple[str, str]
) -> None:
    """The reference is accessible with a token field, a result and an error."""
    tab = await open_tab(EchoAnswerer(), "/docs", context=context, tokens_file=tokens_file_and_token[0])
    for operation in ("ask", "metrics"):
        form = tab.page.locator(f"#operation-{operation} form")
        await form.get_by_role("button", name="Send").click()
        await form.locator(".status").wait_for()
    await assert_accessible(tab)
