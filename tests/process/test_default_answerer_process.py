"""The process where nobody says what answers."""

from pathlib import Path

from .conftest import Start


async def test_the_process_finds_it(start: Start, tmp_path: Path) -> None:
    """`askd serve` in such a folder serves its file, unless another is named."""
    (tmp_path / "answer.py").write_text("def answer(text):\n    return text.upper()\n")
    (tmp_path / "other.py").write_text("def answer(text):\n    return text.lower()\n")
    process = await start("serve")
    assert (await process.event("ready"))["answerer"] == "answer.py"
    other = await start("serve", ASKD_ANSWERER="other.py")
    assert (await other.event("ready"))["answerer"] == "other.py"


async def test_two_of_them_end_the_start(start: Start, tmp_path: Path) -> None:
    """Where the folder has several the start ends with 2 and a line."""
    for name in ("answer.py", "book.yaml"):
        (tmp_path / name).touch()
    process = await start("serve")
    assert await process.ended() == 2
    assert f"answer.py and book.yaml are both in {tmp_path}" in process.output
