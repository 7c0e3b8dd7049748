"""Paths of questions: `/ask`, and `/ask/NAME` if a server has several answerers."""

from typing import Final
from urllib.parse import quote

ASK_PATH: Final = "/ask"


def ask_path(name: str) -> str:
    """Return the path of an answerer, without the prefix of the server; that of the default one if `name` is empty."""
    return f"{ASK_PATH}/{quote(name, safe='')}" if name else ASK_PATH
