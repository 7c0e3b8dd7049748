"""Names and units are what Prometheus' own tools expect."""

import re
import shutil
import subprocess

import pytest

from tests.metrics import live
from tests.metrics.meanings import MEANINGS

PROMTOOL = shutil.which("promtool")
UNITS = {"seconds": "_seconds", "bytes": "_bytes", "1": "_info", "seconds since 1970": "_timestamp_seconds"}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)")
def test_promtool_finds_nothing(scrape: str) -> None:
    """`promtool check metrics` has no word to say about the names and units of askd's own metrics."""
    own = re.findall(r"^(?:# (?:HELP|TYPE) )?askd_.*", scrape, re.MULTILINE)
    text = "\n".join({re.sub(r" [^ ]+$", "", line) if line[0] != "#" else line: line for line in own}.values()) + "\n"
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_units_are_in_the_names(scrape: str) -> None:
    """A metric in seconds or bytes ends so, a counter in `_total`, and nothing else does."""
    for name, family in live.families(scrape).items():
        unit = UNITS.get(MEANINGS[name].unit, "")
        base = name.removesuffix("_total")
        assert base.endswith(unit), name
        assert unit or not base.endswith(("_bytes", "_info")), name
        assert (family.type == "counter") == name.endswith("_total"), name


def test_help_is_a_sentence(scrape: str) -> None:
    """Each help says what is measured, in words that end in a full stop."""
    assert all(re.fullmatch(r"[A-Z0-9].*\.", each.documentation) for each in live.families(scrape).values())
