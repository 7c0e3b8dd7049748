"""The packaged chart, which a release pushes to a registry."""

from pathlib import Path

import pytest

from askd import __version__
from tools.chart.helm import HELM_COMMANDS, run_helm_template
from tools.chart.package import write_chart


@pytest.mark.parametrize("helm", HELM_COMMANDS)
@pytest.mark.parametrize("values", [{}, {"image": {"registry": None}}])
def test_image_is_from_the_registry(tmp_path: Path, helm: str, values: dict[str, object]) -> None:
    """Without a value for the registry, the image is the registry's; the chart in the repository stays as it is."""
    chart = write_chart(tmp_path, "registry.example.org/team")
    code, output, errors = run_helm_template(values, helm=helm, chart=chart)
    assert code == 0, errors
    assert f'image: "registry.example.org/team/askd:{__version__}"' in output
    assert f'image: "askd:{__version__}"' in run_helm_template(values, helm=helm)[1]


@pytest.mark.parametrize("helm", HELM_COMMANDS)
def test_alerts_have_the_url_of_their_runbook(tmp_path: Path, helm: str) -> None:
    """The alerts of a package link to the runbooks of its version."""
    values = {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    code, output, errors = run_helm_template(values, helm=helm, chart=write_chart(tmp_path, "registry.example.org"))
    assert code == 0, errors
    assert f"/askd/blob/v{__version__}/docs/runbooks/AskdDown.md" in output
    assert "runbook_url" not in run_helm_template(values, helm=helm)[1]
