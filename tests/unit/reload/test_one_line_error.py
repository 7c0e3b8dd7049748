"""Errors in one line."""

import pytest

from askd.errors import LoadError
from askd.reload.worker import describe_error

ERRORS = {
    "main.py cannot be imported:\n  main.py:4: import x\nModuleNotFoundError: No module named 'x'\ninstall it": (
        "main.py:4: ModuleNotFoundError: No module named 'x'"
    ),
    "main.py cannot be imported:\n  a.py:1: import b\n  b.py:9: 1 / 0\nZeroDivisionError: division by zero": (
        "b.py:9: ZeroDivisionError: division by zero"
    ),
    "main.py cannot be imported:\n  main.py:3\nSyntaxError: invalid syntax": "main.py:3: SyntaxError: invalid syntax",
    "main.py has no 'answr': it has answer": "main.py has no 'answr': it has answer",
    "book.yaml:4: no answer\nbook.yaml:9: no question": "book.yaml:4: no answer",
    "it failed:\n  main.py:3: x": "it failed:",
    "main.py is not in /srv/app: it has a.py": "main.py is not in app: it has a.py",
    "m cannot be imported:\n  /opt/lib/m/__init__.py:3\nSyntaxError: x": "__init__.py:3: SyntaxError: x",
    "ask+http://host:80/a/b failed, see '/etc/ssl/cert.pem'": "ask+http://host:80/a/b failed, see 'cert.pem'",
    "x" * 1000: "x" * 500,
    "": "LoadError",
}


@pytest.mark.parametrize(("message", "line"), ERRORS.items())
def test_error_in_one_line(message: str, line: str) -> None:
    """The innermost frame and the exception, else the first line, without folders and cut to fit a probe's response."""
    assert describe_error(LoadError(message)) == line
