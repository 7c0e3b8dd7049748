"""docs/examples/requirement, as its first lines say."""

import shutil
from pathlib import Path

from packaging.requirements import Requirement

from tests.examples.conftest import EXAMPLES, ask
from tests.process.conftest import Start

EXAMPLE = EXAMPLES / "requirement"


async def test_it_renders(start: Start, tmp_path: Path) -> None:
    """A folder that holds answer.py is served without a word, with what its package makes of a question."""
    shutil.copy(EXAMPLE / "answer.py", tmp_path)
    process = await start("serve")
    assert (await process.event("ready"))["answerer"] == "answer.py"
    assert await ask(process, "q=%23+Hello") == (200, {"answer": "<h1>Hello</h1>"})


def test_its_requirements_are_what_it_imports() -> None:
    """requirements.txt names the one package that answer.py imports."""
    (line,) = (EXAMPLE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert Requirement(line).name == "markdown-it-py"
    assert "from markdown_it import" in (EXAMPLE / "answer.py").read_text(encoding="utf-8")
