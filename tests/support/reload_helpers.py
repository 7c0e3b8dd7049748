"""What the tests of --reload have in common: saves, code that tells which worker it runs in, and a first start."""

import json
from pathlib import Path

from .conftest import Process, Start


def save(path: Path, text: str) -> None:
    """Save as editors do: a new file takes the old one's name."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


def says(word: str) -> str:
    """Code whose answers are the word and the worker's process id."""
    return f"import os\n\ndef answer(text):\n    return f'{word} {{os.getpid()}}'\n"


async def answer(process: Process, path: str = "/ask?q=x") -> str:
    """Ask, and return the answer's text."""
    reply = await process.get(path)
    assert reply.status == 200, reply.text
    text: str = json.loads(reply.text)["answer"]
    return text


async def reloading(start: Start, folder: Path, code: str = says("old"), *arguments: str) -> Process:
    """Start with --reload and this code; return when it answers."""
    (folder / "main.py").write_text(code)
    process = await start("serve", "main.py:answer", "--reload", *arguments)
    await process.event("ready")
    return process
