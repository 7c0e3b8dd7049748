"""Helpers of the tests of --reload."""

import json
from pathlib import Path

from tests.support.askd_process import AskdProcess, StartAskd


def save_atomically(path: Path, text: str) -> None:
    """Save as editors do: write a new file, then rename it."""
    new_file = path.with_name(f".{path.name}.new")
    new_file.write_text(text)
    new_file.replace(path)


def code_answering(word: str) -> str:
    """Return code that answers with the word and the process id of the worker."""
    return f"import os\n\ndef answer(text):\n    return f'{word} {{os.getpid()}}'\n"


async def ask_answer(process: AskdProcess, path: str = "/ask?q=x") -> str:
    """Ask a question, and return the text of the answer."""
    response = await process.get(path)
    assert response.status == 200, response.text
    answer: str = json.loads(response.text)["answer"]
    return answer


async def start_with_reload(
    start: StartAskd, folder: Path, code: str = code_answering("old"), *arguments: str
) -> AskdProcess:
    """Start with --reload and this code. Returns when the process is ready."""
    (folder / "main.py").write_text(code)
    process = await start("serve", "main.py:answer", "--reload", *arguments)
    await process.wait_for_event("ready")
    return process
