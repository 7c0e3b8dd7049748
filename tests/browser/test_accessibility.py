"""Accessibility of every page in every state: axe-core finds no violations, and pages fit a narrow screen."""

from typing import Any

import pytest

from tests.browser.conftest import OpenTab, Tab, open_sections
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
@pytest.mark.parametrize("path", ["/", "/docs", "/nowhere", "/ask?q=+&words=3"])
async def test_initial_state(open_tab: OpenTab, context: dict[str, Any], path: str) -> None:
    """Every page is accessible when it is opened."""
    await assert_accessible(await open_tab(StreamingAnswerer().without_pauses(), path, context=context))


@BY_CONTEXT
async def test_answer(open_tab: OpenTab, context: dict[str, Any]) -> None:
    """The home page is accessible with an answer, a timeline and a history."""
    tab = await open_tab(EchoAnswerer(), f"/?q={'a' * 300}", context=context)
    await tab.wait_for_answer()
    await assert_accessible(tab)


@BY_CONTEXT
async def test_conversation(open_tab: OpenTab, context: dict[str, Any]) -> None:
    """A conversation is accessible with turns, an interrupt and the fields for parameters."""
    tab = await open_tab(ConversationalEcho(), "/", context=context)
    for text in ("one", "a" * 300):
        await tab.ask(text)
        await tab.page.locator("#answer .text", has_text=text).wait_for()
    await tab.ask("interrupt")
    await tab.page.get_by_role("button", name="Reply").wait_for()
    await tab.page.get_by_text("Thread and parameters").click()
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
    """The reference is accessible with all sections open, a token field, a result, an error and a search."""
    tab = await open_tab(EchoAnswerer(), "/docs", context=context, tokens_file=tokens_file_and_token[0])
    await open_sections(tab)
    for operation in ("ask", "metrics"):
        form = tab.page.locator(f"#operation-{operation} form")
        await form.get_by_role("button", name="Send").click()
        await form.locator(".status").wait_for()
    await assert_accessible(tab)
    await tab.page.get_by_label("Search").fill("liveness")
    await assert_accessible(tab)
