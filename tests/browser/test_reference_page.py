"""The API reference in a real browser: every operation can be tried."""

import json
from typing import Any

import pytest

from tests.browser.conftest import OpenTab
from tests.support.browser_answerers import EchoAnswerer, StreamingAnswerer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("operation", ["ask", "askWithBody", "home", "docs", "openapi", "metrics", "readyz"])
async def test_try_it(open_tab: OpenTab, operation: str) -> None:
    """The curl command, status, timeline, headers and body of each operation are shown."""
    tab = await open_tab(StreamingAnswerer().without_pauses(), "/docs", prefix="/answers")
    form = tab.page.locator(f"#operation-{operation} form")
    await form.get_by_role("button", name="Send").click()
    status = await form.locator(".result .status").text_content()
    assert str(status).startswith("200 OK ")
    assert "content-type: " in str(await form.locator(".headers").text_content())
    assert str(await form.locator(".curl code").text_content()).startswith(f"curl '{tab.base.rpartition('/')[0]}/")
    legend = await form.locator(".timeline li").all_text_contents()
    assert {text.split(" ")[0] for text in legend} >= {"Client", "Network", "Server"}
    assert await form.locator(".body").text_content()


async def test_try_it_shows_problems(open_tab: OpenTab) -> None:
    """Invalid values are sent unchanged, as JSON and as a form, and the problem is shown."""
    tab = await open_tab(EchoAnswerer(), "/docs")
    form = tab.page.locator("#operation-askWithBody form")
    for media_type in ("application/json", "application/x-www-form-urlencoded"):
        await form.locator("[name=Content-Type]").select_option(media_type)
        await form.locator("[name=q]").fill("")
        await form.locator(".result").evaluate("(element) => element.replaceChildren()")
        await form.get_by_role("button", name="Send").click()
        await form.locator(".status.failed").wait_for()
        body: dict[str, Any] = json.loads(str(await form.locator(".body").text_content()))
        assert (body["status"], body["parameter"]) == (400, "q")


async def test_try_it_with_token(open_tab: OpenTab, tokens_file_and_token: tuple[str, str]) -> None:
    """The token is sent only with operations that require one."""
    tokens_file, token = tokens_file_and_token
    tab = await open_tab(EchoAnswerer(), "/docs", tokens_file=tokens_file)
    authorization: dict[str, str | None] = {}
    tab.page.on("request", lambda request: authorization.update({request.url: request.headers.get("authorization")}))
    await tab.page.get_by_label("Token for “Try it”").fill(token)
    for operation in ("ask", "readyz"):
        form = tab.page.locator(f"#operation-{operation} form")
        await form.get_by_role("button", name="Send").click()
        assert str(await form.locator(".status").text_content()).startswith("200 OK ")
    assert authorization == {f"{tab.base}/ask?q=hello": f"Bearer {token}", f"{tab.base}/readyz": None}
    assert '-H "Authorization: Bearer $ASKD_TOKEN"' in await tab.text("#operation-ask .curl")
    assert token not in await tab.page.content()


async def test_no_token_field_without_tokens(open_tab: OpenTab) -> None:
    """Without tokens there is no field for one."""
    tab = await open_tab(EchoAnswerer(), "/docs")
    assert await tab.page.locator("[type=password]").count() == 0


async def test_unreachable_server(open_tab: OpenTab) -> None:
    """If the server cannot be reached, the form reports it."""
    tab = await open_tab(EchoAnswerer(), "/docs")
    await tab.page.route("**/ask?**", lambda route: route.abort("connectionrefused"))
    form = tab.page.locator("#operation-ask form")
    await form.get_by_role("button", name="Send").click()
    await form.get_by_text("could not be reached").wait_for()


async def test_keyboard_focus(open_tab: OpenTab) -> None:
    """The first Tab focuses the skip link, and the focus is visible."""
    tab = await open_tab(EchoAnswerer(), "/docs")
    await tab.page.keyboard.press("Tab")
    assert await tab.page.evaluate("document.activeElement.className") == "skip-link"
    await tab.page.keyboard.press("Tab")
    assert await tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
