"""Every example of the documentation has a test."""

import re
from pathlib import Path

from tests.process.examples.conftest import EXAMPLES

TESTS = Path(__file__).parents[2]


def test_every_example_has_a_test() -> None:
    """Each folder of docs/examples with code is named by a test that runs it."""
    test_code = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    names = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert len(names) >= 3
    tested = {name for name in names if re.search(rf'docs/examples/{name}\b|"examples" / "{name}"', test_code)}
    assert tested == names
