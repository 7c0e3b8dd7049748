"""docs/examples/book, run as its first lines describe."""

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
