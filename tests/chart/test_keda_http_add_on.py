"""Values in the docs work: those for KEDA's HTTP add-on, which scales to zero."""

import re

import pytest
import yaml

from tools.chart.helm import HELM_COMMANDS, render_chart
from tools.chart.values_file import CHART_FOLDER

PAGE = CHART_FOLDER.parent / "docs" / "how-to" / "deploy-on-a-platform.md"


@pytest.mark.parametrize("helm", HELM_COMMANDS)
def test_values_for_the_http_add_on(helm: str) -> None:
    """The route's target is a port of the Service, only the ScaledObject sets the replicas, and nothing blocks zero."""
    (values,) = re.findall(r"^```yaml\n# values.yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    rendered = render_chart(yaml.safe_load(values), helm=helm, release="anything")
    route, scaler = rendered.only("InterceptorRoute"), rendered.only("ScaledObject")
    target = route["spec"]["target"]
    ports = rendered.only("Service", target["service"])["spec"]["ports"]
    assert target["port"] in {port["port"] for port in ports}
    assert scaler["spec"]["scaleTargetRef"] == {"name": rendered.only("Deployment")["metadata"]["name"]}
    assert scaler["spec"]["triggers"][0]["metadata"]["interceptorRoute"] == route["metadata"]["name"]
    assert "replicas" not in rendered.deployment_spec
    assert not rendered.of_kind("PodDisruptionBudget")
    assert not rendered.of_kind("HorizontalPodAutoscaler")
