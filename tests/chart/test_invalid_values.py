"""Values that cannot be meant are refused by both Helms, with words that say what is wrong."""

import pytest

from tests.chart.bad import OLD, RULES, SCHEMA, Bad
from tests.chart.cases import CASES, CODE
from tests.chart.render import HELMS, refusal, run, template

pytestmark = pytest.mark.parametrize("helm", HELMS)
_RATE = {"rate": "100/s"}


@pytest.mark.parametrize("bad", SCHEMA, ids=lambda bad: str(bad[0])[:60])
def test_what_is_no_value_is_refused_and_named(bad: Bad, helm: str) -> None:
    """A slip in a name, a type or a form is refused by the schema, which names the value."""
    values, words = bad
    told = refusal(values, helm=helm)
    assert "schema" in told
    assert all(word in told for word in words), told


@pytest.mark.parametrize("bad", RULES, ids=lambda bad: str(bad[0])[:60])
def test_what_cannot_hold_together_is_refused_with_its_mend(bad: Bad, helm: str) -> None:
    """Values that are well formed and contradict one another are refused, with what to do."""
    values, words = bad
    told = refusal(values, helm=helm)
    assert "These values cannot be used" in told
    assert all(word in told for word in words), told


@pytest.mark.parametrize(("values", "kube", "words"), OLD)
def test_what_kubernetes_does_not_know_yet_is_refused(
    values: dict[str, object], kube: str, words: str, helm: str
) -> None:
    """What needs a newer Kubernetes is refused with the version that has it."""
    assert words in refusal(values, helm=helm, kube=kube)


def test_all_faults_are_told_at_once(helm: str) -> None:
    """Two contradictions are two lines of one refusal."""
    told = refusal({"ops": {"port": 2024}, "settings": {"rateBurst": 5}}, helm=helm)
    assert "ops.port is 2024" in told
    assert "settings.rateBurst" in told


@pytest.mark.parametrize(
    "more",
    [
        {"ingress": {"enabled": True}, "settings": {**_RATE, "trustedProxies": ["10.0.0.0/8"]}},
        {"ingress": {"enabled": True}, "settings": _RATE, "auth": {"existingSecret": "tokens"}},
        {"service": {"type": "NodePort", "externalTrafficPolicy": "Local"}, "settings": _RATE},
        {"settings": _RATE},
    ],
)
def test_a_rate_is_taken_where_clients_can_be_told_apart(more: dict[str, object], helm: str) -> None:
    """Trusted proxies, tokens, kept addresses, or no proxy at all: then a rate per client means something."""
    assert template(more, helm=helm).env["ASKD_RATE"] == "100/s"


def test_256_kib_of_files_are_taken(helm: str) -> None:
    """The bound on inline files is not below what it says."""
    values = {"answerer": {**CODE, "files": {"answer.py": "#" * 262144}}}
    assert run(values, helm=helm)[0] == 0


@pytest.mark.parametrize("case", CASES)
def test_what_is_enabled_always_renders(case: str, helm: str) -> None:
    """Every option renders without a cluster, as GitOps tools do it."""
    assert template(CASES[case], helm=helm).one("Deployment")
