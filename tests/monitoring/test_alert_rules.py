"""The rules: valid, each alert with its runbook, firing when it should and not else."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.rules.alerts import alerts
from tests.rules.cases import CASES, Case
from tests.rules.files import PLAIN, RUNBOOKS, made
from tests.rules.parameters import DAY, HOUR, Parameters

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)
ALERTS = alerts(Parameters())


def promtool(*arguments: object) -> None:
    """Run promtool; what it finds fails the test."""
    done = subprocess.run([str(PROMTOOL), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", made(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_file_is_up_to_date(path: Path) -> None:
    """Rules and dashboard are what tests/rules/ makes; else run `python -m tests.rules`."""
    assert path.read_text(encoding="utf-8") == made()[path]


@needs_promtool
def test_promtool_finds_no_fault() -> None:
    """`promtool check rules` takes the file, its expressions and its templates, and finds no rule twice."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", PLAIN)


@needs_promtool
@pytest.mark.parametrize("step", ["1m", "10m"])
def test_alerts_fire_when_they_should(tmp_path: Path, step: str) -> None:
    """Each case's series make its alert fire, or do not, as the case says, in `promtool test rules`."""
    file = tmp_path / "cases.yaml"
    cases = [case.test() for case in CASES if case.step == step]
    file.write_text(yaml.safe_dump({"rule_files": [str(PLAIN)], "evaluation_interval": step, "tests": cases}))
    promtool("test", "rules", file)


@pytest.mark.parametrize("fires", [True, False], ids=["fires", "does not"])
def test_every_alert_has_a_case(fires: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Each alert, in each of its severities and burn rates, has a case in which it fires, and one in which not."""
    for alert in ALERTS:
        assert any(about(case, alert.name, alert.severity, alert.burn) for case in CASES if case.fires is fires), alert


def about(case: Case, name: str, severity: str, burn: str) -> bool:
    """Whether a case is about an alert; without a severity it is about the only one."""
    return case.alert == name and case.severity in {"", severity} and case.burn in {"", burn}


def test_every_alert_has_a_runbook() -> None:
    """docs/runbooks has a page for each alert and no other, with what it means, what to look at and what to do."""
    pages = {path.stem: path.read_text(encoding="utf-8") for path in RUNBOOKS.glob("*.md")}
    assert pages.keys() == {alert.name for alert in ALERTS}
    for name, text in pages.items():
        assert text.startswith(f"# {name}\n")
        headings = [line for line in text.splitlines() if line.startswith("## ")]
        assert headings == ["## What it means", "## What to look at", "## What to do"]


def test_runbooks_are_where_they_are_said_to_be() -> None:
    """The annotation has the page's address, below the one that is given."""
    (rule,) = [alert.rule(Parameters(runbooks="https://example.org/r")) for alert in ALERTS if alert.name == "AskdDown"]
    assert rule["annotations"]["runbook_url"] == "https://example.org/r/AskdDown.md"


@pytest.mark.parametrize(
    ("scale", "seconds", "text"),
    [(1, 3 * DAY, "3d"), (1, 90 * 60, "1h30m"), (60, HOUR, "1m"), (60, 300, "5s"), (600, 300, "500ms"), (1, 0, "0s")],
)
def test_spans_are_scaled(scale: float, seconds: float, text: str) -> None:
    """A duration is written as Prometheus does, to the millisecond."""
    assert Parameters(scale=scale).span(seconds) == text


@needs_promtool
def test_a_fleets_own_rules_are_valid(tmp_path: Path) -> None:
    """Whatever is given for one fleet, rules come of it that Prometheus takes."""
    given = Parameters(availability="99.5", threshold="1.0", selector='namespace="web",job="askd",', scale=60)
    from tests.rules.files import rules

    file = tmp_path / "rules.yaml"
    file.write_text(rules(given))
    promtool("check", "rules", "--lint=all", "--lint-fatal", file)
    assert file.read_text().count('namespace="web",job="askd",') >= 20
