"""The names that the user's own modules may have."""

from pathlib import Path

import pytest

from tests.support.askd_process import StartAskd

CODE = "def answer(text):\n    return text.upper()\n"


@pytest.mark.parametrize("spec", ["service.py:answer", "service/main.py:answer", "service.main:answer"])
async def test_module_named_service(start: StartAskd, tmp_path: Path, spec: str) -> None:
    """A module or package called service is served as the user's own code."""
    file = tmp_path / ("service.py" if spec.startswith("service.py") else "service/main.py")
    file.parent.mkdir(exist_ok=True)
    file.write_text(CODE)
    process = await start("serve", spec)
    assert (await process.wait_for_event("ready"))["answerer"] == spec
    assert (await process.get("/ask?q=hello")).text == '{"answer":"HELLO"}'
