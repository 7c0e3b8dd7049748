"""The default answerer of a folder, searched by the process."""

from pathlib import Path

import pytest

from tests.support.askd_process import StartAskd


@pytest.mark.slow
async def test_answer_file_is_the_default(start: StartAskd, tmp_path: Path) -> None:
    """`askd serve` serves answer.py unless another answerer is named."""
    (tmp_path / "answer.py").write_text("def answer(text):\n    return text.upper()\n")
    (tmp_path / "other.py").write_text("def answer(text):\n    return text.lower()\n")
    process = await start("serve")
    assert (await process.wait_for_event("ready"))["answerer"] == "answer.py"
    other = await start("serve", ASKD_ANSWERER="other.py")
    assert (await other.wait_for_event("ready"))["answerer"] == "other.py"


async def test_two_candidates_end_the_start(start: StartAskd, tmp_path: Path) -> None:
    """If the folder has several default files, the start ends with 2, and the error names them."""
    for name in ("answer.py", "book.yaml"):
        (tmp_path / name).touch()
    process = await start("serve")
    assert await process.wait_for_exit() == 2
    assert f"answer.py and book.yaml are both in {tmp_path}" in process.output
