"""docs/examples/requirements_txt, run as its first lines describe."""

import shutil
from pathlib import Path

from packaging.requirements import Requirement

from tests.process.examples.conftest import EXAMPLES, ask_query
from tests.support.askd_process import StartAskd

EXAMPLE = EXAMPLES / "requirements_txt"


async def test_package_is_used(start: StartAskd, tmp_path: Path) -> None:
    """A folder with answer.py is served without arguments, and its required package renders the question."""
    shutil.copy(EXAMPLE / "answer.py", tmp_path)
    process = await start("serve")
    assert (await process.wait_for_event("ready"))["answerer"] == "answer.py"
    assert await ask_query(process, "q=%23+Hello") == (200, {"answer": "<h1>Hello</h1>"})


def test_requirements_match_the_imports() -> None:
    """requirements.txt names the one package that answer.py imports."""
    (line,) = (EXAMPLE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert Requirement(line).name == "markdown-it-py"
    assert "from markdown_it import" in (EXAMPLE / "answer.py").read_text(encoding="utf-8")
