"""docs/examples/book, as its first lines say."""

import shutil
from pathlib import Path

from tests.examples.conftest import EXAMPLES, ask
from tests.process.conftest import Start


async def test_the_shop(start: Start, tmp_path: Path) -> None:
    """A folder that holds book.yaml is served without a word, in other words too."""
    shutil.copy(EXAMPLES / "book" / "book.yaml", tmp_path)
    process = await start("serve")
    assert (await process.event("ready"))["answerer"] == "book.yaml"
    assert (await ask(process, "q=when+are+you+open"))[1]["answer"] == "Monday to Friday, nine to five."
    assert (await ask(process, "q=do+you+take+cards"))[1]["answer"].startswith("In cash or by card")
