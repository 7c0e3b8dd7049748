"""Names, units and help texts of metrics follow Prometheus' conventions."""

import re
import shutil
import subprocess

import pytest

from tools.docs_metrics import live_scrape
from tools.docs_metrics.descriptions import DESCRIPTIONS

PROMTOOL = shutil.which("promtool")
UNITS = {"seconds": "_seconds", "bytes": "_bytes", "1": "_info", "seconds since 1970": "_timestamp_seconds"}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)")
def test_promtool_accepts_the_metrics(scrape: str) -> None:
    """`promtool check metrics` reports nothing about askd's metrics."""
    own_lines = re.findall(r"^(?:# (?:HELP|TYPE) )?(?:askd|http_server)_.*", scrape, re.MULTILINE)
    text = (
        "\n".join({re.sub(r" [^ ]+$", "", line) if line[0] != "#" else line: line for line in own_lines}.values())
        + "\n"
    )
    result = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_names_end_in_their_unit(scrape: str) -> None:
    """Names of metrics in seconds or bytes end in the unit, and exactly the names of counters end in `_total`."""
    for name, family in live_scrape.metric_families(scrape).items():
        unit = UNITS.get(DESCRIPTIONS[name].unit, "")
        base = name.removesuffix("_total")
        assert base.endswith(unit), name
        assert unit or not base.endswith(("_bytes", "_info")), name
        assert (family.type == "counter") == name.endswith("_total"), name


def test_help_texts_are_sentences(scrape: str) -> None:
    """Each help text begins with a capital or a digit and ends with a full stop."""
    families = live_scrape.metric_families(scrape).values()
    assert all(re.fullmatch(r"[A-Z0-9].*\.", family.documentation) for family in families)
