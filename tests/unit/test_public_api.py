"""Names that the package askd exports, and its light import."""

import subprocess
import sys

import pytest

import askd
from askd import errors, models


@pytest.mark.parametrize("name", ["Answer", "Answerer", "NoAnswer", "Question", "Refused"])
def test_public_names(name: str) -> None:
    """The package exports the names that user code needs most."""
    assert getattr(askd, name) is getattr(errors if hasattr(errors, name) else models, name)
    assert name in askd.__all__


def test_unknown_name() -> None:
    """A name that the package does not export is an ImportError."""
    with pytest.raises(ImportError, match="cannot import name 'Qestion' from 'askd'"):
        exec("from askd import Qestion")


def test_package_import_is_light() -> None:
    """`import askd` does not import msgspec; the first use of a public name does."""
    code = (
        "import sys, askd; before = 'msgspec' in sys.modules; "
        "from askd import Question, Refused, NoAnswer; print(before, 'msgspec' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert process.stdout == "False True\n"
