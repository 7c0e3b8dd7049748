"""Invalid values are rejected by Helm 3 and Helm 4, with an error that names the value and the fix."""

import pytest

from tests.chart.invalid_values import (
    REJECTED_BY_KUBERNETES_VERSION,
    REJECTED_BY_SCHEMA,
    REJECTED_BY_TEMPLATE,
    InvalidValues,
)
from tests.chart.valid_values import CODE_ANSWERER, VALID_VALUES
from tools.chart.helm import HELM_COMMANDS, render_chart, render_error, run_helm_template

pytestmark = pytest.mark.parametrize("helm", HELM_COMMANDS)
_RATE_LIMIT = {"rateLimit": "100/s"}


@pytest.mark.parametrize("case", REJECTED_BY_SCHEMA, ids=lambda case: str(case[0])[:60])
def test_schema_rejects_invalid_values(case: InvalidValues, helm: str) -> None:
    """The schema rejects unknown names, wrong types and wrong formats; the error names the value."""
    values, expected = case
    error = render_error(values, helm=helm)
    assert "schema" in error
    assert all(text in error for text in expected), error


@pytest.mark.parametrize("case", REJECTED_BY_TEMPLATE, ids=lambda case: str(case[0])[:60])
def test_contradictory_values_are_rejected(case: InvalidValues, helm: str) -> None:
    """Values that contradict one another are rejected with the fix."""
    values, expected = case
    error = render_error(values, helm=helm)
    assert "These values cannot be used" in error
    assert all(text in error for text in expected), error


@pytest.mark.parametrize(("values", "kube_version", "expected"), REJECTED_BY_KUBERNETES_VERSION)
def test_kubernetes_version_is_checked(values: dict[str, object], kube_version: str, expected: str, helm: str) -> None:
    """Features of a newer Kubernetes are rejected with the version that has them."""
    assert expected in render_error(values, helm=helm, kube_version=kube_version)


def test_all_errors_are_reported_at_once(helm: str) -> None:
    """Two contradictions are two lines of one error."""
    error = render_error({"ops": {"port": 2024}, "settings": {"rateBurst": 5}}, helm=helm)
    assert "ops.port is 2024" in error
    assert "settings.rateBurst" in error


@pytest.mark.parametrize(
    "values",
    [
        {"ingress": {"enabled": True}, "settings": {**_RATE_LIMIT, "trustedProxies": ["10.0.0.0/8"]}},
        {"ingress": {"enabled": True}, "settings": _RATE_LIMIT, "auth": {"existingSecret": "tokens"}},
        {"service": {"type": "NodePort", "externalTrafficPolicy": "Local"}, "settings": _RATE_LIMIT},
        {"settings": _RATE_LIMIT},
    ],
)
def test_rate_limit_is_accepted_if_clients_are_identified(values: dict[str, object], helm: str) -> None:
    """Trusted proxies, tokens, preserved client addresses or a direct connection identify clients."""
    assert render_chart(values, helm=helm).environment["ASKD_RATE_LIMIT"] == "100/s"


def test_256_kib_of_files_are_accepted(helm: str) -> None:
    """Inline files may have 256 KiB, as the error for larger ones says."""
    values = {"answerer": {**CODE_ANSWERER, "files": {"answer.py": "#" * 262144}}}
    assert run_helm_template(values, helm=helm)[0] == 0


@pytest.mark.parametrize("case", VALID_VALUES)
def test_valid_values_render_without_a_cluster(case: str, helm: str) -> None:
    """Every option renders without a cluster, as in GitOps tools."""
    assert render_chart(VALID_VALUES[case], helm=helm).only("Deployment")
