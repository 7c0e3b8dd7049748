"""No example of the documentation goes untested."""

import re
from pathlib import Path

from tests.examples.conftest import EXAMPLES

TESTS = Path(__file__).parents[1]


def test_every_example_has_a_test() -> None:
    """Each folder of docs/examples is named by a test that runs it."""
    said = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    names = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert len(names) >= 3
    named = {name for name in names if re.search(rf'docs/examples/{name}\b|"examples" / "{name}"', said)}
    assert named == names
