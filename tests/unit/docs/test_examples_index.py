"""Every example of the documentation has a test, and is in the index."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
EXAMPLES = ROOT / "docs" / "examples"
NAMES = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}


def test_every_example_has_a_test() -> None:
    """Each folder of docs/examples is named by a test that runs it."""
    test_code = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    tested = {name for name in NAMES if re.search(rf'docs/examples/{name}\b|"examples" / "{name}"', test_code)}
    assert tested == NAMES
    assert len(NAMES) >= 13


def test_index_lists_every_example() -> None:
    """docs/examples/README.md has a row for each folder."""
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[(\w+)\]", index, re.MULTILINE)) == NAMES
