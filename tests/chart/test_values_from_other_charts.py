"""Names and forms of values that platform engineers know from other charts work, or are rejected with the fix."""

import json
import re
import subprocess

import pytest
import yaml

from tests.chart import resource_schemas
from tests.chart.values_from_other_charts import ACCEPTED, REFUSED
from tools.chart.generate import OTHER_NAMES
from tools.chart.helm import HELM_COMMANDS, KUBERNETES_VERSION, clusterless_environment
from tools.chart.values_file import CHART_FOLDER


def run_helm(argument: str, helm: str) -> subprocess.CompletedProcess[str]:
    """Render the chart with an argument of values_from_other_charts.py."""
    json_values = re.findall(r"(?:^| )([A-Za-z.]+=[{\[].*?[}\]])(?= [A-Za-z.]+=|$)", argument)
    is_json = bool(json_values) and all(_is_json(value.partition("=")[2]) for value in json_values)
    options = [part for value in json_values for part in ("--set-json", value)] if is_json else ["--set", argument]
    command = [helm, "template", "askd", str(CHART_FOLDER), "--kube-version", KUBERNETES_VERSION, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clusterless_environment())


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("argument", "expected"), ACCEPTED, ids=lambda value: value[:60])
def test_accepted(argument: str, expected: str) -> None:
    """Each Helm accepts the argument, the manifests contain the text, and Kubernetes accepts the manifests."""
    for helm in HELM_COMMANDS:
        result = run_helm(argument, helm)
        assert result.returncode == 0, result.stderr
        assert expected in result.stdout
    for item in yaml.safe_load_all(result.stdout):
        if item:
            resource_schemas.validate_resource(item, KUBERNETES_VERSION.rpartition(".")[0])


@pytest.mark.parametrize(("argument", "expected"), REFUSED, ids=lambda value: value[:60])
def test_refused(argument: str, expected: str) -> None:
    """Each Helm rejects the argument; the error names a value of it, the reason and the fix."""
    for helm in HELM_COMMANDS:
        result = run_helm(argument, helm)
        assert result.returncode != 0
        assert "These values cannot be used" in result.stderr, result.stderr
        assert expected in result.stderr
        names = [re.split(r"=|\[", part)[0] for part in argument.split(",") if "=" in part]
        assert any(name.partition(".")[0] in result.stderr for name in names)


def test_every_other_name_has_a_fix() -> None:
    """Each known name of another chart is rejected with its text."""
    other_names = yaml.safe_load(OTHER_NAMES.read_text("utf-8"))
    error = run_helm(",".join(f"{name}=1" for name in other_names), HELM_COMMANDS[0]).stderr
    for name, fix in other_names.items():
        assert f"{name} is not a value of this chart: {fix}" in error, error
