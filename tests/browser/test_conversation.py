"""The home page of an answerer with threads: a conversation with turns, replies to interrupts and failures."""

import re

import pytest

from tests.browser.conftest import OpenTab, Tab
from tests.support.browser_answerers import ConversationalEcho

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def ask_in_turn(tab: Tab, *texts: str) -> None:
    """Ask the questions one after the other; the echo repeats each."""
    for text in texts:
        await tab.ask(text)
        await tab.page.locator("#answer .text", has_text=text).wait_for()
    await tab.wait_for_answer()


async def test_turns_share_a_new_thread(open_tab: OpenTab) -> None:
    """All turns are shown above the answer; they share a thread that the page made, which is in its address."""
    answerer = ConversationalEcho()
    tab = await open_tab(answerer)
    await ask_in_turn(tab, "one", "two", "three")
    assert await tab.texts("#turns .question") == ["one", "two", "three"]
    assert await tab.texts("#turns .reply .text") == ["one", "two"]
    assert await tab.page.input_value("#q") == ""
    assert await tab.page.evaluate("document.activeElement.id") == "q"
    [thread] = set(answerer.threads)
    assert re.fullmatch("[0-9a-f]{16}", str(thread))
    assert tab.page.url == f"{tab.base}/?thread={thread}"


async def test_new_conversation(open_tab: OpenTab) -> None:
    """The button starts an empty conversation in another thread, and so does another thread in the field."""
    answerer = ConversationalEcho()
    tab = await open_tab(answerer)
    await ask_in_turn(tab, "one")
    await tab.page.get_by_role("button", name="New conversation").click()
    assert await tab.texts("#turns > *") == []
    await ask_in_turn(tab, "two")
    assert len(set(answerer.threads)) == 2
    await tab.page.get_by_text("Thread and parameters").click()
    await tab.page.locator("#p-thread").fill("mine")
    await ask_in_turn(tab, "three")
    assert (await tab.texts("#turns .question"), answerer.threads[-1]) == (["three"], "mine")


async def test_reload_continues_the_thread(open_tab: OpenTab) -> None:
    """A reload keeps the thread, asks nothing, and says that the earlier turns are not shown."""
    answerer = ConversationalEcho()
    tab = await open_tab(answerer)
    await ask_in_turn(tab, "one")
    await tab.page.reload()
    await tab.page.get_by_text("Earlier turns of this conversation are not shown.").wait_for()
    await ask_in_turn(tab, "two")
    assert len(answerer.threads) == 2
    assert len(set(answerer.threads)) == 1


async def test_link_with_question(open_tab: OpenTab) -> None:
    """A link with a question asks it as the first turn."""
    tab = await open_tab(ConversationalEcho(), "/?q=hello")
    await tab.wait_for_answer()
    assert await tab.texts("#turns .question") == ["hello"]


async def test_reply_to_an_interrupt(open_tab: OpenTab) -> None:
    """An interrupt shows the requested input and turns the form into a reply box; it is a turn like others."""
    tab = await open_tab(ConversationalEcho())
    await tab.ask("interrupt")
    await tab.page.locator("#answer .text", has_text="Cash or card?").wait_for()
    await tab.page.get_by_role("button", name="Reply").wait_for()
    assert await tab.page.get_by_label("Your reply").is_visible()
    assert await tab.page.locator("#history .failed").count() == 0
    await ask_in_turn(tab, "card")
    assert await tab.page.get_by_label("Your question").is_visible()
    assert await tab.page.get_by_role("button", name="Ask").is_visible()
    assert "Cash or card?" in (await tab.texts("#turns .reply"))[0]


async def test_failed_turn(open_tab: OpenTab) -> None:
    """A failed turn is retried in place; the next question keeps it among the turns, without its controls."""
    tab = await open_tab(ConversationalEcho())
    await tab.ask("boom")
    await tab.wait_for_answer("The answerer failed")
    await tab.page.get_by_role("button", name="Retry").click()
    await tab.page.wait_for_selector("#history input[value='2']", state="attached")
    await tab.wait_for_answer("The answerer failed")
    assert await tab.texts("#turns .question") == ["boom"]
    await ask_in_turn(tab, "fine")
    assert "The answerer failed" in (await tab.texts("#turns .reply.failed"))[0]
    assert await tab.page.locator("#turns button").count() == 0


async def test_rejected_question_can_be_corrected(open_tab: OpenTab) -> None:
    """A question that is rejected is put back into the box."""
    tab = await open_tab(ConversationalEcho())
    await tab.ask(" ")
    await tab.wait_for_answer("Bad question")
    assert await tab.page.input_value("#q") == " "
