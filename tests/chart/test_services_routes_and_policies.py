"""Effect of the options for Services, routes, network policies and scraping."""

import pytest

from tests.chart.valid_values import render_case
from tools.chart.helm import KubernetesObject


def test_service_type_and_policies() -> None:
    """Type, ports and policies reach the Service."""
    spec = render_case("node port").only("Service", "askd")["spec"]
    assert (spec["type"], spec["ports"][0]["nodePort"], spec["externalTrafficPolicy"]) == ("NodePort", 30080, "Local")
    spec = render_case("load balancer").only("Service", "askd")["spec"]
    assert (spec["ports"][0]["port"], spec["loadBalancerClass"]) == (443, "example.org/lb")
    assert render_case("traffic").only("Service", "askd")["spec"]["trafficDistribution"] == "PreferClose"


@pytest.mark.parametrize("name", ["default", "node port", "load balancer", "ops"])
def test_ops_port_is_never_exposed(name: str) -> None:
    """The ops port has a separate ClusterIP Service, which includes pods that are not ready."""
    spec = render_case(name).only("Service", "askd-ops")["spec"]
    assert spec["type"] == "ClusterIP"
    assert spec["publishNotReadyAddresses"] is True
    assert [port["targetPort"] for port in render_case(name).only("Service", "askd")["spec"]["ports"]] == ["http"]


def test_dual_stack() -> None:
    """With a dual-stack Service, the server listens on both IP families."""
    rendered = render_case("dual stack")
    assert rendered.environment["ASKD_HOST"] == "::"
    assert rendered.only("Service", "askd-ops")["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    assert render_case("single stack").environment["ASKD_HOST"] == "0.0.0.0"


def test_tls_applies_to_the_main_port_only() -> None:
    """With a certificate, Service and test pod use HTTPS; the ops port stays HTTP for the kubelet."""
    rendered = render_case("tls")
    port = rendered.only("Service", "askd")["spec"]["ports"][0]
    assert (port["name"], port["appProtocol"]) == ("https", "https")
    assert "https://askd:80" in rendered.only("Pod")["spec"]["containers"][0]["args"]
    assert all(
        "scheme" not in rendered.askd_container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")
    )


def test_services_do_not_select_the_test_pod() -> None:
    """The pod of `helm test` has other labels than the server."""
    rendered = render_case("default")
    labels = rendered.only("Pod")["metadata"]["labels"]
    for service in rendered.of_kind("Service"):
        assert not service["spec"]["selector"].items() <= labels.items()


def test_ingress_rules() -> None:
    """Each host has a rule with the prefix as its path; without hosts, one rule matches all."""
    spec = render_case("ingress").only("Ingress")["spec"]
    assert [rule["host"] for rule in spec["rules"]] == ["a.example.org", "b.example.org"]
    assert spec["tls"] == [{"secretName": "cert", "hosts": ["a.example.org", "b.example.org"]}]
    spec = render_case("ingress for all").only("Ingress")["spec"]
    assert [rule["http"]["paths"][0]["path"] for rule in spec["rules"]] == ["/q"]
    assert "host" not in spec["rules"][0]


def test_hosts_with_paths() -> None:
    """A host may have its own paths, and a certificate its own hosts."""
    spec = render_case("custom routes").only("Ingress")["spec"]
    paths = {
        rule["host"]: [(path["path"], path["pathType"]) for path in rule["http"]["paths"]] for rule in spec["rules"]
    }
    assert paths == {"a.example.org": [("/ask", "Prefix"), ("/docs", "Exact")], "b.example.org": [("/", "Prefix")]}
    assert spec["tls"] == [{"secretName": "cert", "hosts": ["a.example.org"]}]


def test_rules_and_filters_of_a_route() -> None:
    """Filters are added to the chart's rules; own rules get the backend, and time-outs unless they have some."""
    rules = render_case("route filters").only("HTTPRoute")["spec"]["rules"]
    assert {rule["filters"][0]["type"] for rule in rules} == {"RequestHeaderModifier"}
    assert {rule["matches"][0]["path"]["value"] for rule in rules} == {"/faq"}
    rules = render_case("custom routes").only("HTTPRoute")["spec"]["rules"]
    assert [rule["timeouts"]["request"] for rule in rules] == ["62s", "5s"]
    assert all(rule["backendRefs"] == [{"name": "askd", "port": 80}] for rule in rules)


def test_fields_of_the_service() -> None:
    """Labels, session affinity and policies reach the Service; a headless one has no address."""
    service = render_case("service fields").only("Service", "askd")
    assert service["metadata"]["labels"]["exposed"] == "yes"
    assert service["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 600}}
    assert (service["spec"]["sessionAffinity"], service["spec"]["internalTrafficPolicy"]) == ("ClientIP", "Local")
    assert render_case("headless service").only("Service", "askd")["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize(("settings", "plain", "stream"), [({}, "62s", "602s"), ({"deadline": "1500ms"}, "4s", "602s")])
def test_route_timeouts_exceed_the_deadline(settings: KubernetesObject, plain: str, stream: str) -> None:
    """The gateway's time-outs are longer than askd's deadlines, so that askd's 504 comes first; streams have a rule."""
    rules = render_case("http route", settings=settings).only("HTTPRoute")["spec"]["rules"]
    assert [rule["timeouts"]["request"] for rule in rules] == [stream, plain]
    assert rules[0]["matches"][0]["headers"] == [{"type": "Exact", "name": "Accept", "value": "text/event-stream"}]


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("network policy", {53}),
        ("network policy for redis", {53, 6379}),
        ("network policy for a server", {53, 2024}),
        ("network policy for https", {53, 443}),
        ("network policy for code", None),
        ("network policy without a spec", None),
        ("network policy for telemetry", None),
    ],
)
def test_egress_depends_on_the_answerer(name: str, ports: set[int] | None) -> None:
    """A book has no egress except DNS, a remote answerer is reachable, and code may connect anywhere (None)."""
    egress = render_case(name).only("NetworkPolicy")["spec"]["egress"]
    allowed = {port["port"] for rule in egress for port in rule.get("ports", ())}
    assert (egress == [{}]) if ports is None else (allowed == ports)


def test_custom_network_policy() -> None:
    """Peers and egress of the user are used; the test pod is always allowed."""
    spec = render_case("custom network policy").only("NetworkPolicy")["spec"]
    assert spec["egress"] == []
    assert all(len(rule["from"]) == 2 for rule in spec["ingress"])


@pytest.mark.parametrize(("name", "annotated"), [("default", True), ("pod monitor", False), ("service monitor", False)])
def test_pods_are_scraped_once(name: str, annotated: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Pods have scrape annotations unless a monitor exists."""
    annotations = render_case(name).deployment_spec["template"]["metadata"]["annotations"]
    assert (annotations.get("prometheus.io/port") == "2025") == annotated


def test_monitor_in_another_namespace() -> None:
    """It selects the release's namespace, and its job has the monitor's, which the alerts use."""
    rendered = render_case("monitor in another namespace")
    monitor, rule = rendered.only("PodMonitor"), rendered.only("PrometheusRule")
    assert (monitor["metadata"]["namespace"], rule["metadata"]["namespace"]) == ("monitoring", "monitoring")
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["here"]}
    endpoint = monitor["spec"]["podMetricsEndpoints"][0]
    assert (endpoint["scrapeTimeout"], endpoint["honorLabels"]) == ("5s", True)
    assert endpoint["metricRelabelings"][0]["action"] == "drop"
    assert 'namespace="here",job=~"monitoring/askd"' in str(rule["spec"])


def test_service_monitor_selects_the_ops_service() -> None:
    """The selector of the ServiceMonitor matches only the ops Service."""
    rendered = render_case("service monitor")
    selector = rendered.only("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    assert selector <= rendered.only("Service", "askd-ops")["metadata"]["labels"].items()
    assert not selector <= rendered.only("Service", "askd")["metadata"]["labels"].items()
