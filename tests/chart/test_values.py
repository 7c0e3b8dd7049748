"""What each option changes, on and off."""

import pytest

from tests.chart.cases import CASES
from tests.chart.render import NEWEST, Object, Rendered, template


def case(name: str, **more: object) -> Rendered:
    """Return what a case renders."""
    return template({**CASES[name], **more})


KINDS = {
    "files": {"ConfigMap"},
    "hpa": {"HorizontalPodAutoscaler"},
    "keda": {"ScaledObject"},
    "ingress": {"Ingress"},
    "http route": {"HTTPRoute"},
    "network policy": {"NetworkPolicy"},
    "pod monitor": {"PodMonitor"},
    "service monitor": {"ServiceMonitor"},
    "rules": {"PrometheusRule"},
    "dashboards": {"ConfigMap"},
}


def test_the_default_is_a_small_set_of_objects() -> None:
    """An install without values makes the server, its two Services, its account, its budget and its test."""
    kinds = sorted(found["kind"] for found in case("default"))
    assert kinds == ["Deployment", "Pod", "PodDisruptionBudget", "Service", "Service", "ServiceAccount"]


@pytest.mark.parametrize("name", KINDS)
def test_an_option_adds_its_object_and_no_other(name: str) -> None:
    """What is switched on is there, and beside it what is always there."""
    usual = {found["kind"] for found in case("default")}
    assert {found["kind"] for found in case(name)} - usual == KINDS[name]


def test_the_default_pod() -> None:
    """Two replicas, a request of 100m, a memory limit and no CPU limit, and /tmp as the only place to write."""
    rendered = case("default")
    assert rendered.deployment["replicas"] == 2
    resources = rendered.container["resources"]
    assert resources["requests"]["cpu"] == "100m"
    assert set(resources["limits"]) == {"memory"}
    assert rendered.pod["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    assert rendered.deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("image", "registry.example.org/team/askd:1.2"),
        ("digest", "askd@sha256:" + "0" * 64),
        ("tag and digest", "askd:1.2@sha256:" + "0" * 64),
        ("global registry", "mirror.example.org/askd:0.1.0"),
    ],
)
def test_the_image(name: str, image: str) -> None:
    """Registry, repository, tag and digest make the image, of the server as of its test."""
    rendered = case(name)
    assert rendered.container["image"] == image
    assert rendered.one("Pod")["spec"]["containers"][0]["image"] == image


def test_pull_secrets_are_for_both_pods() -> None:
    """The server and its test pull with the same Secrets."""
    rendered = case("pull secrets")
    assert rendered.pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert rendered.one("Pod")["spec"]["imagePullSecrets"] == rendered.pod["imagePullSecrets"]


@pytest.mark.parametrize(
    ("release", "name"), [("askd", "askd"), ("my-askd", "my-askd"), ("faq", "faq-askd"), ("r" * 53, "r" * 52)]
)
def test_the_name_comes_from_the_release(release: str, name: str) -> None:
    """Objects are named for the release, with askd in it, and their suffixes fit."""
    rendered = template({}, release=release)
    assert rendered.one("Deployment")["metadata"]["name"] == name
    assert all(len(found["metadata"]["name"]) <= 63 for found in rendered)


def test_names_may_be_given() -> None:
    """FullnameOverride names the objects, nameOverride the label."""
    found = case("names").one("Deployment")
    assert found["metadata"]["name"] == "my-answers"
    assert found["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] == "answers"


@pytest.mark.parametrize("name", ["null replicas", "hpa", "keda"])
def test_no_replicas_are_rendered_where_others_scale(name: str) -> None:
    """An autoscaler, and `replicaCount: null`, leave spec.replicas to others."""
    assert "replicas" not in case(name).deployment


def test_zero_replicas_are_zero() -> None:
    """`replicaCount: 0` is a number, and not what is unset."""
    assert case("no replica").deployment["replicas"] == 0
    assert case("many replicas").deployment["replicas"] == 1000


@pytest.mark.parametrize(
    ("values", "there"),
    [
        ({}, True),
        ({"replicaCount": 1}, False),
        ({"replicaCount": None}, False),
        ({"podDisruptionBudget": {"enabled": False}}, False),
        ({"autoscaling": {"type": "hpa", "minReplicas": 1}}, False),
        ({"replicaCount": 1, "autoscaling": {"type": "hpa", "minReplicas": 2}}, True),
    ],
)
def test_a_budget_never_holds_the_only_replica(values: Object, there: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A PodDisruptionBudget is made only where more than one replica is certain."""
    assert len(template(values).all("PodDisruptionBudget")) == there


def test_inline_files_are_immutable_hashed_and_kept() -> None:
    """Other files are another ConfigMap: old pods keep the one that they were made for."""
    one, other = case("files"), case("book in files")
    found = one.one("ConfigMap")
    assert found["immutable"] is True
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert found["metadata"]["name"] != other.one("ConfigMap")["metadata"]["name"]
    assert found["metadata"]["name"] == case("files").one("ConfigMap")["metadata"]["name"]
    assert one.pod["volumes"][1] == {"name": "answers", "configMap": {"name": found["metadata"]["name"]}}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("existing configmap", {"configMap": {"name": "books"}}),
        ("volume", {"persistentVolumeClaim": {"claimName": "code"}}),
    ],
)
def test_files_may_come_from_elsewhere(name: str, source: Object) -> None:
    """A ConfigMap or a volume of the user's is mounted where inline files would be."""
    rendered = case(name)
    assert rendered.pod["volumes"][1] == {"name": "answers", **source}
    assert {"name": "answers", "mountPath": "/answers", "readOnly": True} in rendered.container["volumeMounts"]


def test_what_an_image_has_is_not_hidden() -> None:
    """A spec without files mounts nothing over the image's own /answers."""
    rendered = case("own image")
    assert rendered.env["ASKD_ANSWERER"] == "package.module:attr"
    assert [mount["mountPath"] for mount in rendered.container["volumeMounts"]] == ["/tmp"]


def test_secrets_come_by_reference() -> None:
    """No value of a Secret is ever in the manifests, and each is mounted or referred to."""
    rendered = case("everything secret")
    assert rendered.env["ASKD_REDIS_URL"] == {"secretKeyRef": {"name": "redis", "key": "url"}}
    assert rendered.container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    mounted = {volume["secret"]["secretName"] for volume in rendered.pod["volumes"] if "secret" in volume}
    assert mounted == {"tokens", "c"}
    assert not any("subPath" in mount for mount in rendered.container["volumeMounts"])
    assert not rendered.all("Secret")


def test_the_service_says_how_it_is_reached() -> None:
    """Type, port, node port and traffic policy reach the Service."""
    spec = case("node port").one("Service", "askd")["spec"]
    assert (spec["type"], spec["ports"][0]["nodePort"], spec["externalTrafficPolicy"]) == ("NodePort", 30080, "Local")
    spec = case("load balancer").one("Service", "askd")["spec"]
    assert (spec["ports"][0]["port"], spec["loadBalancerClass"]) == (443, "example.org/lb")
    assert case("traffic").one("Service", "askd")["spec"]["trafficDistribution"] == "PreferClose"


@pytest.mark.parametrize("name", ["default", "node port", "load balancer", "ops"])
def test_the_ops_port_is_never_exposed(name: str) -> None:
    """Metrics and probes have a ClusterIP Service of their own, whatever the other is, also for pods not ready."""
    spec = case(name).one("Service", "askd-ops")["spec"]
    assert spec["type"] == "ClusterIP"
    assert spec["publishNotReadyAddresses"] is True
    assert [port["targetPort"] for port in case(name).one("Service", "askd")["spec"]["ports"]] == ["http"]


def test_two_families_are_listened_on() -> None:
    """A dual-stack Service has a server that listens on both families."""
    rendered = case("dual stack")
    assert rendered.env["ASKD_HOST"] == "::"
    assert rendered.one("Service", "askd-ops")["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    assert case("single stack").env["ASKD_HOST"] == "0.0.0.0"


def test_tls_changes_the_scheme_everywhere() -> None:
    """With a certificate the Service, and what its test asks, are HTTPS; the ops port stays HTTP for the kubelet."""
    rendered = case("tls")
    port = rendered.one("Service", "askd")["spec"]["ports"][0]
    assert (port["name"], port["appProtocol"]) == ("https", "https")
    assert "https://askd:80" in rendered.one("Pod")["spec"]["containers"][0]["args"]
    assert all("scheme" not in rendered.container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe"))


def test_cpu_scales_by_what_is_used_and_not_by_a_share_of_the_request() -> None:
    """The HorizontalPodAutoscaler aims at 700m of askd's own container."""
    spec = case("hpa").one("HorizontalPodAutoscaler")["spec"]
    target = {"type": "AverageValue", "averageValue": "700m"}
    assert spec["metrics"] == [
        {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "askd", "target": target}}
    ]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    assert set(spec["behavior"]) == {"scaleUp", "scaleDown"}


def test_the_autoscaler_takes_more_metrics_and_a_tolerance() -> None:
    """Saturation, metrics of one's own and a tolerance stand beside CPU."""
    spec = case("hpa on everything").one("HorizontalPodAutoscaler")["spec"]
    assert [metric["type"] for metric in spec["metrics"]] == ["ContainerResource", "Pods", "Resource"]
    assert spec["metrics"][1]["pods"]["target"]["averageValue"] == "500m"
    assert {spec["behavior"][way]["tolerance"] for way in spec["behavior"]} == {"0.05"}
    assert "tolerance" not in str(case("hpa").one("HorizontalPodAutoscaler"))


def test_keda_never_takes_silence_for_no_load() -> None:
    """A Prometheus that is gone, or knows nothing, does not scale down."""
    spec = case("keda").one("ScaledObject")["spec"]
    trigger = spec["triggers"][1]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["metadata"]["serverAddress"] == "http://prometheus:9090"
    assert trigger["authenticationRef"] == {"name": "who"}
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 4, "behavior": "currentReplicasIfHigher"}
    assert 'namespace="here",pod=~"askd-[a-z0-9]+-[a-z0-9]+"' in trigger["metadata"]["query"]
    assert "fallback" not in case("keda on cpu").one("ScaledObject")["spec"]


def test_a_slow_start_is_waited_for() -> None:
    """startup.budget drives the startup probe, and the rollout is given up a minute after it."""
    rendered = case("slow start")
    probe = rendered.container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 3600
    assert rendered.deployment["progressDeadlineSeconds"] == 3600 + 60 + 30


def test_probes_may_be_tuned_and_left_out() -> None:
    """Liveness and readiness have their own times, or are not there; the startup probe always is."""
    container = case("other probes").container
    assert container["livenessProbe"]["periodSeconds"] == 20
    assert container["readinessProbe"]["failureThreshold"] == 5
    assert {name for name in case("no probes").container if name.endswith("Probe")} == {"startupProbe"}


def test_no_pre_stop_is_no_hook() -> None:
    """stop.preStop=0 leaves the hook out, which older Kubernetes refuses at 0."""
    container = case("no pre-stop").container
    assert "lifecycle" not in container
    assert container["livenessProbe"]["terminationGracePeriodSeconds"] == 1


@pytest.mark.parametrize(
    ("name", "used", "made"),
    [
        ("default", "askd", 1),
        ("own account", "me", 1),
        ("another's account", "other", 0),
        ("default account", "default", 0),
    ],
)
def test_the_account(name: str, used: str, made: int) -> None:
    """A ServiceAccount without a token is made, or another is used."""
    rendered = case(name)
    assert rendered.pod["serviceAccountName"] == used
    assert [found["automountServiceAccountToken"] for found in rendered.all("ServiceAccount")] == [False] * made


def test_labels_never_break_a_selector() -> None:
    """Labels of one's own are added; those that select stay what they are."""
    rendered = case("labels")
    selector = rendered.deployment["selector"]["matchLabels"]
    pod = rendered.deployment["template"]["metadata"]
    assert selector.items() <= pod["labels"].items()
    assert (pod["labels"]["team"], pod["labels"]["pod"], pod["annotations"]["sidecar"]) == ("answers", "yes", "no")
    assert pod["annotations"]["prometheus.io/port"] == "2025"
    assert selector == case("default").deployment["selector"]["matchLabels"]


def test_a_new_version_of_the_chart_does_not_roll_the_pods() -> None:
    """The pods' labels have nothing of the chart's version."""
    assert "helm.sh/chart" not in case("default").deployment["template"]["metadata"]["labels"]


def test_services_do_not_choose_the_test_pod() -> None:
    """The pod of `helm test` has labels of its own."""
    rendered = case("default")
    labels = rendered.one("Pod")["metadata"]["labels"]
    for service in rendered.all("Service"):
        assert not service["spec"]["selector"].items() <= labels.items()


def test_openshift_may_choose_the_user() -> None:
    """Null takes a user, group and fsGroup out, and leaves the rest."""
    context = case("openshift").pod["securityContext"]
    assert {"runAsUser", "runAsGroup", "fsGroup"}.isdisjoint(context)
    assert context["runAsNonRoot"] is True


def test_where_it_runs() -> None:
    """Node selector, affinity, tolerations, priority and runtime class reach the pod; [] spreads nothing."""
    pod = case("placing").pod
    assert (pod["nodeSelector"], pod["priorityClassName"], pod["runtimeClassName"]) == (
        {"disk": "ssd"},
        "high",
        "gvisor",
    )
    assert pod["tolerations"] == [{"key": "a", "operator": "Exists"}]
    assert "affinity" in pod
    assert "topologySpreadConstraints" not in pod
    assert case("own spread").pod["topologySpreadConstraints"][0]["topologyKey"] == "rack"
    assert len(case("default").pod["topologySpreadConstraints"]) == 2


def test_extras_stand_beside_the_charts_own() -> None:
    """Variables, volumes, containers and objects of one's own are added; templates in objects are rendered."""
    rendered = case("extras")
    assert rendered.env["OPENAI_BASE_URL"] == "http://models"
    assert {"configMapRef": {"name": "more"}} in rendered.container["envFrom"]
    assert {volume["name"] for volume in rendered.pod["volumes"]} == {"tmp", "models"}
    assert [found["name"] for found in rendered.pod["initContainers"]] == ["fetch", "beside"]
    assert [found["name"] for found in rendered.pod["containers"]] == ["askd", "proxy"]
    assert rendered.one("ConfigMap", "one")["data"] == {"of": "askd"}
    assert rendered.one("ConfigMap", "askd-two")


def test_an_ingress_sends_to_the_service() -> None:
    """Each host has the prefix as path; without hosts one rule is for all."""
    spec = case("ingress").one("Ingress")["spec"]
    assert [rule["host"] for rule in spec["rules"]] == ["a.example.org", "b.example.org"]
    assert spec["tls"] == [{"secretName": "cert", "hosts": ["a.example.org", "b.example.org"]}]
    spec = case("ingress for all").one("Ingress")["spec"]
    assert [rule["http"]["paths"][0]["path"] for rule in spec["rules"]] == ["/q"]
    assert "host" not in spec["rules"][0]


@pytest.mark.parametrize(("settings", "plain", "stream"), [({}, "62s", "602s"), ({"deadline": "1500ms"}, "4s", "602s")])
def test_a_route_waits_longer_than_the_deadline(settings: Object, plain: str, stream: str) -> None:
    """The gateway's time-outs are just above askd's own, so that its 504 comes first; streams have a rule of theirs."""
    rules = case("http route", settings=settings).one("HTTPRoute")["spec"]["rules"]
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
        ("network policy for an unnamed volume", None),
        ("network policy for telemetry", None),
    ],
)
def test_egress_is_as_closed_as_the_answerer_allows(name: str, ports: set[int] | None) -> None:
    """A book goes nowhere, a remote answerer is reached, and code may call whom it wants (None: open)."""
    egress = case(name).one("NetworkPolicy")["spec"]["egress"]
    found = {port["port"] for rule in egress for port in rule.get("ports", ())}
    assert (egress == [{}]) if ports is None else (found == ports)


def test_a_policy_of_ones_own_goes_before() -> None:
    """Given peers and egress are taken; the test pod may always come."""
    spec = case("own network policy").one("NetworkPolicy")["spec"]
    assert spec["egress"] == []
    assert all(len(rule["from"]) == 2 for rule in spec["ingress"])


@pytest.mark.parametrize(("name", "annotated"), [("default", True), ("pod monitor", False), ("service monitor", False)])
def test_prometheus_is_told_once(name: str, annotated: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Annotations name the ops port unless a Monitor does."""
    annotations = case(name).deployment["template"]["metadata"]["annotations"]
    assert (annotations.get("prometheus.io/port") == "2025") == annotated


def test_a_service_monitor_finds_the_ops_service() -> None:
    """Its selector matches the labels of the ops Service, and not those of the other."""
    rendered = case("service monitor")
    wanted = rendered.one("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    assert wanted <= rendered.one("Service", "askd-ops")["metadata"]["labels"].items()
    assert not wanted <= rendered.one("Service", "askd")["metadata"]["labels"].items()


@pytest.mark.parametrize(("name", "how"), [("default", "open"), ("tokens", "refused"), ("tests with a token", "token")])
def test_the_test_knows_whether_tokens_are_on(name: str, how: str) -> None:
    """`helm test` asks with its token, expects a 401 without one, or just asks."""
    spec = case(name).one("Pod")["spec"]
    assert spec["containers"][0]["args"][-1] == how
    assert bool(spec.get("volumes")) == (how == "token")


def test_the_newest_kubernetes_is_the_default() -> None:
    """The tests render for the newest version that they validate against."""
    assert NEWEST.startswith("1.37")
