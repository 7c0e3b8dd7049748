"""The reference in a real browser: every operation can be tried, and shows all that comes back."""

import json
from typing import Any

import pytest

from tests.browser.conftest import Open
from tests.browser.moods import Echo, Teller

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("operation", ["ask", "askWithBody", "home", "docs", "openapi", "metrics", "readyz"])
async def test_try_it(open_tab: Open, operation: str) -> None:
    """Each operation can be tried: its curl line, status, timeline, headers and body are shown."""
    tab = await open_tab(Teller().told(), "/docs", prefix="/answers")
    form = tab.page.locator(f"#operation-{operation} form")
    await form.get_by_role("button", name="Send").click()
    status = await form.locator(".result .status").text_content()
    assert str(status).startswith("200 OK ")
    assert "content-type: " in str(await form.locator(".headers").text_content())
    assert str(await form.locator(".curl code").text_content()).startswith(f"curl '{tab.base.rpartition('/')[0]}/")
    shown = await form.locator(".timeline li").all_text_contents()
    assert {text.split(" ")[0] for text in shown} >= {"Client", "Network", "Server"}
    assert await form.locator(".body").text_content()


async def test_try_it_shows_problems(open_tab: Open) -> None:
    """Faulty values are sent as they are, in JSON and in a form, and the problem is shown."""
    tab = await open_tab(Echo(), "/docs")
    form = tab.page.locator("#operation-askWithBody form")
    for media in ("application/json", "application/x-www-form-urlencoded"):
        await form.locator("[name=Content-Type]").select_option(media)
        await form.locator("[name=q]").fill("")
        await form.locator(".result").evaluate("(place) => place.replaceChildren()")
        await form.get_by_role("button", name="Send").click()
        await form.locator(".status.failed").wait_for()
        body: dict[str, Any] = json.loads(str(await form.locator(".body").text_content()))
        assert (body["status"], body["parameter"]) == (400, "q")


async def test_try_it_with_a_token(open_tab: Open, tokens: tuple[str, str]) -> None:
    """Where a token is asked for there is a field for it; what is guarded is sent with it, the rest is not."""
    file, token = tokens
    tab = await open_tab(Echo(), "/docs", tokens_file=file)
    sent: dict[str, str | None] = {}
    tab.page.on("request", lambda request: sent.update({request.url: request.headers.get("authorization")}))
    await tab.page.get_by_label("Token for what you try").fill(token)
    for operation in ("ask", "readyz"):
        form = tab.page.locator(f"#operation-{operation} form")
        await form.get_by_role("button", name="Send").click()
        assert str(await form.locator(".status").text_content()).startswith("200 OK ")
    assert sent == {f"{tab.base}/ask?q=hello": f"Bearer {token}", f"{tab.base}/readyz": None}
    assert '-H "Authorization: Bearer $ASKD_TOKEN"' in await tab.text("#operation-ask .curl")
    assert token not in await tab.page.content()


async def test_no_token_no_field(open_tab: Open) -> None:
    """Where no token is asked for, nothing speaks of one."""
    tab = await open_tab(Echo(), "/docs")
    assert await tab.page.locator("[type=password]").count() == 0


async def test_server_gone(open_tab: Open) -> None:
    """Where the server cannot be reached, the form says so."""
    tab = await open_tab(Echo(), "/docs")
    await tab.page.route("**/ask?**", lambda route: route.abort("connectionrefused"))
    form = tab.page.locator("#operation-ask form")
    await form.get_by_role("button", name="Send").click()
    await form.get_by_text("could not be reached").wait_for()


async def test_keyboard_order(open_tab: Open) -> None:
    """The first key press offers to skip to the content, and what has the focus can be seen."""
    tab = await open_tab(Echo(), "/docs")
    await tab.page.keyboard.press("Tab")
    assert await tab.page.evaluate("document.activeElement.className") == "skip"
    await tab.page.keyboard.press("Tab")
    assert await tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
