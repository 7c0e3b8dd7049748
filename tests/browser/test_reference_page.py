"""The API reference in a real browser: every operation can be tried."""

import asyncio
import json
import os
import shutil
import sys
from typing import Any

import pytest

from tests.browser.conftest import OpenTab, Tab, open_sections
from tests.support.browser_answerers import HTML_INJECTION, EchoAnswerer, StreamingAnswerer

PATH = os.environ["PATH"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("operation", ["ask", "askWithBody", "home", "docs", "openapi", "metrics", "readyz"])
async def test_try_it(open_tab: OpenTab, operation: str) -> None:
    """The curl command, status, timeline, headers and body of each operation are shown."""
    tab = await open_tab(StreamingAnswerer().without_pauses(), "/docs", prefix="/answers")
    await open_sections(tab)
    form = tab.page.locator(f"#operation-{operation} form")
    await form.get_by_role("button", name="Send").click()
    status = await form.locator(".result .status").text_content()
    assert str(status).startswith("200 OK ")
    assert "content-type: " in str(await form.locator(".headers").text_content())
    assert str(await form.locator(".sample code").text_content()).startswith(f"curl '{tab.base.rpartition('/')[0]}/")
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
    await open_sections(tab)
    await tab.page.get_by_label("Bearer token").fill(token)
    for operation in ("ask", "readyz"):
        form = tab.page.locator(f"#operation-{operation} form")
        await form.get_by_role("button", name="Send").click()
        assert str(await form.locator(".status").text_content()).startswith("200 OK ")
    assert authorization == {f"{tab.base}/ask?q=hello": f"Bearer {token}", f"{tab.base}/readyz": None}
    assert '-H "Authorization: Bearer $ASKD_TOKEN"' in await tab.text("#operation-ask .sample")
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


async def run_program(*command: str, **variables: str) -> str:
    """Run a program, and return its output."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=variables)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript"])
@pytest.mark.parametrize("operation", ["ask", "askWithBody"])
@pytest.mark.parametrize("media_type", ["application/json", "text/event-stream"])
async def test_samples_run(
    open_tab: OpenTab, tokens_file_and_token: tuple[str, str], language: str, operation: str, media_type: str
) -> None:
    """The samples are programs that send the request as the form does, with the token from the environment."""
    runners = {
        "curl": ("bash", "-c"),
        "Python": (sys.executable, "-c"),
        "JavaScript": ("node", "--input-type=module", "-e"),
    }
    if shutil.which(runners[language][0]) is None or (language == "curl" and shutil.which("curl") is None):
        pytest.skip(f"the sample for {language} needs {runners[language][0]} and curl")
    tokens_file, token = tokens_file_and_token
    tab = await open_tab(EchoAnswerer(), "/docs", tokens_file=tokens_file)
    form = tab.page.locator(f"#operation-{operation} form")
    question = f'it\'s {HTML_INJECTION} \\ ${{x}} "ü"'
    await form.locator("[name=q]").fill(question)
    await form.locator("[name=Accept]").select_option(media_type)
    await form.get_by_role("radio", name=language).check()
    sample = str(await form.locator(".sample code").text_content())
    output = await run_program(*runners[language], sample, ASKD_TOKEN=token, PATH=PATH)
    data = next(line for line in output.splitlines() if '"answer"' in line).removeprefix("data: ")
    assert json.loads(data)["answer"] == question


async def test_language_applies_to_all_samples(open_tab: OpenTab) -> None:
    """The chosen language applies to all operations."""
    tab = await open_tab(EchoAnswerer(), "/docs")
    await tab.page.locator("#try-ask").get_by_role("radio", name="Python").check()
    samples = await tab.texts(".sample")
    assert len(samples) > 5
    assert all("import requests" in sample for sample in samples)


async def visible_operations(tab: Tab) -> list[str]:
    """Return the ids of the operations that can be seen."""
    script = "[...document.querySelectorAll('.operation')].filter((e) => e.checkVisibility()).map((e) => e.id)"
    names: list[str] = await tab.page.evaluate(script)
    return [name.removeprefix("operation-") for name in names]


async def test_collapsed_sections(open_tab: OpenTab) -> None:
    """Only operations that ask are shown at first; a link to another one opens its section."""
    tab = await open_tab(EchoAnswerer(), "/docs")
    visible = await visible_operations(tab)
    assert visible[:2] == ["ask", "askWithBody"]
    assert not {"home", "docs", "metrics", "livez"} & set(visible)
    await tab.page.evaluate("location.hash = '#operation-livez'")
    await tab.page.locator("#operation-livez").wait_for()


async def test_search(open_tab: OpenTab) -> None:
    """`/` moves to the search, which filters sections and contents by their words, also in collapsed sections."""
    tab = await open_tab(EchoAnswerer(), "/docs")
    await tab.page.keyboard.press("/")
    await tab.page.keyboard.type("liveness alive")
    assert await visible_operations(tab) == ["livez"]
    assert await tab.page.locator(".contents li a:visible").all_text_contents() == ["GET /livez", "Problems", "Schemas"]
    assert (await tab.text("#search-status")).startswith("1 of ")
    await tab.page.get_by_label("Search").fill("")
    assert (await visible_operations(tab))[:2] == ["ask", "askWithBody"]


@pytest.mark.parametrize(("width", "is_open"), [(390, False), (1200, True)])
async def test_contents_are_collapsed_on_a_phone(open_tab: OpenTab, width: int, *, is_open: bool) -> None:
    """The list of paths is closed on a narrow screen, and open on a wide one."""
    tab = await open_tab(EchoAnswerer(), "/docs", context={"viewport": {"width": width, "height": 800}})
    assert await tab.page.locator(".contents a[href='#operation-askWithBody']").is_visible() == is_open
