"""Alert rules: generated files, validity, runbooks, and cases in which alerts fire."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.monitoring.alert_cases import ALERT_CASES, AlertCase
from tools.monitoring.alerts import all_alerts
from tools.monitoring.generated_files import RULES_FILE, RUNBOOKS, generated_files, render_rules
from tools.monitoring.parameters import DAY, HOUR, Parameters
from tools.monitoring.recording_rules import recording_rules

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)
ALERTS = all_alerts(Parameters())


def promtool(*arguments: object) -> None:
    """Run promtool, and fail with its output if it reports an error."""
    result = subprocess.run([str(PROMTOOL), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", generated_files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_generated_file_is_up_to_date(path: Path) -> None:
    """Rules and dashboard are those that tools/monitoring generates; otherwise run `make rules`."""
    assert path.read_text(encoding="utf-8") == generated_files()[path]


@needs_promtool
def test_rules_are_valid() -> None:
    """`promtool check rules` accepts the file, its expressions and its templates."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", RULES_FILE)


@needs_promtool
@pytest.mark.slow
@pytest.mark.parametrize("step", ["1m", "10m"])
def test_alerts_fire_as_expected(tmp_path: Path, step: str) -> None:
    """In `promtool test rules`, the series of each case make its alert fire or not, as expected."""
    file = tmp_path / "cases.yaml"
    cases = [case.promtool_test() for case in ALERT_CASES if case.step == step]
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES_FILE)], "evaluation_interval": step, "tests": cases}))
    promtool("test", "rules", file)


@pytest.mark.parametrize("fires", [True, False], ids=["fires", "does not"])
def test_every_alert_has_a_case(fires: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Each alert, with each severity and burn rate, has a case in which it fires and one in which it does not."""
    for alert in ALERTS:
        assert any(
            is_about(case, alert.name, alert.severity, alert.burn) for case in ALERT_CASES if case.fires is fires
        ), alert


def is_about(case: AlertCase, name: str, severity: str, burn: str) -> bool:
    """Return whether a case is about an alert. A case without a severity is about all of that name."""
    return case.alert == name and case.severity in {"", severity} and case.burn in {"", burn}


def test_every_alert_has_a_runbook() -> None:
    """docs/runbooks has exactly one page per alert, each with the same headings."""
    pages = {path.stem: path.read_text(encoding="utf-8") for path in RUNBOOKS.glob("*.md")}
    assert pages.keys() == {alert.name for alert in ALERTS}
    for name, text in pages.items():
        assert text.startswith(f"# {name}\n")
        headings = [line for line in text.splitlines() if line.startswith("## ")]
        assert headings == ["## Meaning", "## Diagnosis", "## Remedy"]


def test_runbook_url() -> None:
    """The annotation links to the runbook below the configured URL; without a URL there is none."""
    (rule,) = [alert.rule(Parameters(runbooks="https://example.org/r")) for alert in ALERTS if alert.name == "AskdDown"]
    assert rule["annotations"]["runbook_url"] == "https://example.org/r/AskdDown.md"
    assert not any("runbook_url" in alert.rule(Parameters())["annotations"] for alert in ALERTS)


def test_severities_are_renamed() -> None:
    """Each alert has the severity that the parameters give to `critical` or `warning`."""
    renamed = {alert.rule(Parameters(critical="p1", warning="p3"))["labels"]["severity"] for alert in ALERTS}
    assert renamed == {"p1", "p3"}
    assert {alert.rule(Parameters())["labels"]["severity"] for alert in ALERTS} == {"critical", "warning"}


@pytest.mark.parametrize(
    ("scale", "seconds", "text"),
    [(1, 3 * DAY, "3d"), (1, 90 * 60, "1h30m"), (60, HOUR, "1m"), (60, 300, "5s"), (600, 300, "500ms"), (1, 0, "0s")],
)
def test_durations_are_scaled(scale: float, seconds: float, text: str) -> None:
    """A duration is in Prometheus' notation, with milliseconds."""
    assert Parameters(scale=scale).duration(seconds) == text


@needs_promtool
def test_rules_of_one_fleet_are_valid(tmp_path: Path) -> None:
    """Rules with other parameters are valid."""
    parameters = Parameters(availability="99.5", threshold="1.0", selector='namespace="web",job="askd",', scale=60)
    file = tmp_path / "rules.yaml"
    file.write_text(render_rules(parameters))
    promtool("check", "rules", "--lint=all", "--lint-fatal", file)
    assert file.read_text().count('namespace="web",job="askd",') >= 20


def test_alerts_use_existing_recording_rules() -> None:
    """The recorded series that alerts use are those that the rules record."""
    used = {name for alert in all_alerts(Parameters()) for name in re.findall(r"job:\w+:\w+", alert.expr)}
    assert used == {rule["record"] for rule in recording_rules(Parameters())}
