"""docs/examples/book and docs/examples/markdown_book, run as their first lines describe."""

import shutil
from pathlib import Path

from tests.process.examples.conftest import EXAMPLES, ask_query
from tests.support.askd_process import StartAskd


async def test_book(start: StartAskd, tmp_path: Path) -> None:
    """A folder with book.yaml is served without arguments, and questions may be phrased differently."""
    shutil.copy(EXAMPLES / "book" / "book.yaml", tmp_path)
    process = await start("serve")
    assert (await process.wait_for_event("ready"))["answerer"] == "book.yaml"
    assert (await ask_query(process, "q=when+are+you+open"))[1]["answer"] == "Monday to Friday, nine to five."
    assert (await ask_query(process, "q=do+you+take+cards"))[1]["answer"].startswith("In cash or by card")


async def test_book_from_markdown(start: StartAskd) -> None:
    """Headings of all Markdown files of a folder are questions; the text about the folder is not."""
    process = await start("serve", str(EXAMPLES / "markdown_book"))
    await process.wait_for_event("ready")
    assert (await ask_query(process, "q=can+I+send+it+back%3F"))[1]["question"] == "Can I send an order back?"
    assert (await ask_query(process, "q=do+you+ship+abroad"))[1]["answer"] == "Yes, to all countries of the EU."
    assert (await ask_query(process, "q=Returns"))[0] == 404
