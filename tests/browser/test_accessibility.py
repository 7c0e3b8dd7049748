"""What holds of every page in every state: axe-core finds nothing, and it fits on a narrow screen."""

from typing import Any

import pytest

from tests.browser.conftest import Open, Tab
from tests.browser.moods import Echo, Talker, Teller

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROW = {"width": 360, "height": 740}
CONTEXTS: dict[str, dict[str, Any]] = {
    "wide, light": {"viewport": {"width": 1200, "height": 800}, "color_scheme": "light"},
    "narrow, dark": {"viewport": NARROW, "color_scheme": "dark"},
}
BY_CONTEXT = pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)


async def sound(tab: Tab) -> None:
    """Check that axe finds nothing to complain of, and that the page is not wider than the screen."""
    from axe_playwright_python.async_playwright import Axe

    await tab.page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
    results = await Axe().run(tab.page)
    assert not results.violations_count, results.generate_report()
    width = await tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0


@BY_CONTEXT
@pytest.mark.parametrize("path", ["/", "/docs", "/nowhere"])
async def test_pages(open_tab: Open, context: dict[str, Any], path: str) -> None:
    """Every page is sound as it is opened."""
    await sound(await open_tab(Teller().told(), path, context=context))


@BY_CONTEXT
async def test_an_answer(open_tab: Open, context: dict[str, Any]) -> None:
    """The home page is sound with an answer, its stages, its chart and earlier turns."""
    tab = await open_tab(Talker(), "/", context=context)
    await tab.page.locator("#p-thread").fill("a")
    for text in ("one", "a" * 300):
        await tab.ask(text)
        await tab.page.locator("#answer .text", has_text=text).wait_for()
    await tab.answered()
    await sound(tab)


@BY_CONTEXT
@pytest.mark.parametrize(("question", "title"), [("nothing", "No answer"), ("boom", "The answerer failed")])
async def test_a_problem(open_tab: Open, context: dict[str, Any], question: str, title: str) -> None:
    """The home page is sound with suggestions, and with an error."""
    tab = await open_tab(Echo(), f"/?q={question}", context=context)
    await tab.answered(title)
    await sound(tab)


@BY_CONTEXT
async def test_a_token_and_a_countdown(open_tab: Open, context: dict[str, Any], tokens: tuple[str, str]) -> None:
    """The home page is sound where it asks for a token, and while it counts down."""
    file, token = tokens
    tab = await open_tab(Echo(), "/?q=hello", context=context, tokens_file=file, rate="1/m")
    await tab.answered("Unauthorized")
    await sound(tab)
    await tab.page.locator("#token").fill(token)
    await tab.page.keyboard.press("Enter")
    await tab.answered()
    await tab.ask("more")
    await tab.answered("Too many requests")
    await sound(tab)


@BY_CONTEXT
async def test_the_reference_tried(open_tab: Open, context: dict[str, Any], tokens: tuple[str, str]) -> None:
    """The reference is sound with a token field, a result and a failed result."""
    tab = await open_tab(Echo(), "/docs", context=context, tokens_file=tokens[0])
    for operation in ("ask", "metrics"):
        form = tab.page.locator(f"#operation-{operation} form")
        await form.get_by_role("button", name="Send").click()
        await form.locator(".status").wait_for()
    await sound(tab)
