"""Effect of the options for the Deployment, autoscaling and other objects."""

import re

import pytest
import yaml

from askd import __version__
from tests.chart.valid_values import render_case
from tools.chart.helm import KUBERNETES_VERSION, KubernetesObject, render_chart
from tools.chart.values_file import CHART_FOLDER

ADDED_KINDS = {
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


def test_default_objects() -> None:
    """By default the chart has a Deployment, two Services, a ServiceAccount, a PodDisruptionBudget and a test pod."""
    kinds = sorted(item["kind"] for item in render_case("default"))
    assert kinds == ["Deployment", "Pod", "PodDisruptionBudget", "Service", "Service", "ServiceAccount"]


@pytest.mark.parametrize("name", ADDED_KINDS)
def test_option_adds_only_its_object(name: str) -> None:
    """An option adds one kind of object to the default ones."""
    default_kinds = {item["kind"] for item in render_case("default")}
    assert {item["kind"] for item in render_case(name)} - default_kinds == ADDED_KINDS[name]


def test_default_pod() -> None:
    """The pod has a CPU request of 100m, a memory limit, no CPU limit, and /tmp as the only writable directory."""
    rendered = render_case("default")
    assert rendered.deployment_spec["replicas"] == 2
    resources = rendered.askd_container["resources"]
    assert resources["requests"]["cpu"] == "100m"
    assert set(resources["limits"]) == {"memory"}
    assert rendered.pod_spec["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    assert rendered.deployment_spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("image", "registry.example.org/team/askd:1.2"),
        ("digest", "askd@sha256:" + "0" * 64),
        ("tag and digest", "askd:1.2@sha256:" + "0" * 64),
        ("global registry", f"mirror.example.org/askd:{__version__}"),
    ],
)
def test_image_reference(name: str, image: str) -> None:
    """Server and test pod use the same image, from registry, repository, tag and digest."""
    rendered = render_case(name)
    assert rendered.askd_container["image"] == image
    assert rendered.only("Pod")["spec"]["containers"][0]["image"] == image


def test_pull_secrets_of_both_pods() -> None:
    """Server and test pod have the same pull Secrets, each once, and those of a parent chart."""
    rendered = render_case("pull secrets")
    assert rendered.pod_spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}, {"name": "three"}]
    assert rendered.only("Pod")["spec"]["imagePullSecrets"] == rendered.pod_spec["imagePullSecrets"]


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("askd", "askd"),
        ("my-askd", "my-askd"),
        ("faq", "faq-askd"),
        ("1askd", r"askd-1askd-[0-9a-f]{6}"),
        ("2024", r"askd-2024-askd-[0-9a-f]{6}"),
        ("v1.2-askd", r"v1-2-askd-[0-9a-f]{6}"),
        ("r" * 53, r"r{45}-[0-9a-f]{6}"),
    ],
)
def test_names_contain_the_release(release: str, name: str) -> None:
    """Names consist of the release and askd, are valid, and are at most 63 characters with their suffix."""
    rendered = render_chart({"grafanaDashboard": {"enabled": True}}, release=release)
    assert re.fullmatch(name, rendered.only("Deployment")["metadata"]["name"])
    assert all(re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", item["metadata"]["name"]) for item in rendered)


def test_changed_names_differ() -> None:
    """Releases whose names differ only in what had to be changed have different objects."""
    releases = ["r" * 52 + "a", "r" * 52 + "b", "my.askd", "my-askd", "1askd", "askd-1askd"]
    names = {render_chart({}, release=release).only("Deployment")["metadata"]["name"] for release in releases}
    assert len(names) == len(releases)


@pytest.mark.parametrize(
    ("tag", "label"),
    [("v" * 62 + ".9", "v" * 62), ("_private", "private"), (20261130, "20261130"), (1e15, "1000000000000000")],
)
def test_tag_as_label(tag: str | float, label: str) -> None:
    """A tag that is no label is shortened; a number is a tag."""
    deployment = render_chart({"image": {"tag": tag}}).only("Deployment")
    assert deployment["metadata"]["labels"]["app.kubernetes.io/version"] == label
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"askd:{tag if isinstance(tag, str) else int(tag)}"


def test_name_overrides() -> None:
    """`fullnameOverride` sets the names of objects, `nameOverride` the label."""
    deployment = render_case("names").only("Deployment")
    assert deployment["metadata"]["name"] == "my-answers"
    assert deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] == "answers"


@pytest.mark.parametrize("name", ["null replicas", "hpa", "keda"])
def test_replicas_are_omitted_if_something_else_scales(name: str) -> None:
    """With an autoscaler or `replicaCount: null`, the Deployment has no `spec.replicas`."""
    assert "replicas" not in render_case(name).deployment_spec


def test_replica_count() -> None:
    """`replicaCount: 0` is a number and not unset."""
    assert render_case("no replica").deployment_spec["replicas"] == 0
    assert render_case("many replicas").deployment_spec["replicas"] == 1000


@pytest.mark.parametrize(
    ("values", "exists"),
    [
        ({}, True),
        ({"replicaCount": 1}, False),
        ({"replicaCount": None}, False),
        ({"podDisruptionBudget": {"enabled": False}}, False),
        ({"autoscaling": {"enabled": True, "minReplicas": 1}}, False),
        ({"replicaCount": 1, "autoscaling": {"enabled": True, "minReplicas": 2}}, True),
    ],
)
def test_disruption_budget_needs_two_replicas(values: KubernetesObject, exists: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A PodDisruptionBudget exists only if there are always two replicas; with one it would block node drains."""
    assert len(render_chart(values).of_kind("PodDisruptionBudget")) == exists


def test_disruption_budget_has_one_bound() -> None:
    """It has maxUnavailable 1, or minAvailable if that is set."""
    spec = render_case("default").only("PodDisruptionBudget")["spec"]
    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    spec = render_case("available budget").only("PodDisruptionBudget")["spec"]
    assert (spec["minAvailable"], spec["unhealthyPodEvictionPolicy"]) == (2, "IfHealthyBudget")
    assert "maxUnavailable" not in spec


def test_strategy() -> None:
    """Recreate has no rolling update; a rolling update may replace a pod without an additional one."""
    assert render_case("recreate").deployment_spec["strategy"] == {"type": "Recreate"}
    rolling_update = render_case("no room for one more pod").deployment_spec["strategy"]["rollingUpdate"]
    assert rolling_update == {"maxSurge": 0, "maxUnavailable": 1}


def test_hooks_and_grace_period() -> None:
    """An own preStop hook replaces the sleep; a longer grace period is used."""
    rendered = render_case("hooks")
    assert rendered.askd_container["lifecycle"]["preStop"] == {"sleep": {"seconds": 20}}
    assert "postStart" in rendered.askd_container["lifecycle"]
    assert rendered.pod_spec["terminationGracePeriodSeconds"] == 600


def test_fields_of_the_pod() -> None:
    """DNS, hosts, scheduler, arguments and additional fields reach the pod; option values are texts."""
    rendered = render_case("pod fields")
    pod = rendered.pod_spec
    assert (pod["schedulerName"], pod["dnsPolicy"], pod["shareProcessNamespace"]) == ("batch", "None", True)
    assert pod["dnsConfig"]["options"] == [{"name": "ndots", "value": "2"}, {"name": "edns0"}]
    assert pod["hostAliases"][0]["hostnames"] == ["models.example.org"]
    assert rendered.askd_container["args"] == ["serve", "--env-file", "/etc/more.env"]


def test_null_is_the_default() -> None:
    """Null for a value or a section, as in values of an older chart, means the default."""
    nothing = {"service": None, "livenessProbe": {"periodSeconds": None}, "minReadySeconds": None, "commonLabels": None}
    settings = {"settings": {"drainDelay": None, "threads": None}, "strategy": None, "imagePullSecrets": None}
    assert render_chart({**nothing, **settings}) == render_case("default")


def test_files_from_a_command_without_quotes() -> None:
    """`--set-file answerer.files.answer.py=…` without a backslash makes a map, which is put together again."""
    nested = {"answerer": {"spec": "answer.py:answer", "files": {"answer": {"py": "def answer(q):\n    return q\n"}}}}
    assert render_chart(nested) == render_case("files")


def test_inline_files_have_an_immutable_config_map() -> None:
    """Each version of the files has a ConfigMap named by its hash, which is kept for pods of the old version."""
    rendered, other = render_case("files"), render_case("book in files")
    config_map = rendered.only("ConfigMap")
    name = config_map["metadata"]["name"]
    assert config_map["immutable"] is True
    assert config_map["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert name != other.only("ConfigMap")["metadata"]["name"]
    assert name == render_case("files").only("ConfigMap")["metadata"]["name"]
    assert rendered.pod_spec["volumes"][1] == {"name": "answers", "configMap": {"name": name}}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("existing configmap", {"configMap": {"name": "books"}}),
        ("volume", {"persistentVolumeClaim": {"claimName": "code"}}),
    ],
)
def test_files_from_an_existing_source(name: str, source: KubernetesObject) -> None:
    """A ConfigMap or volume of the user is mounted in place of inline files."""
    rendered = render_case(name)
    assert rendered.pod_spec["volumes"][1] == {"name": "answers", **source}
    assert {"name": "answers", "mountPath": "/answers", "readOnly": True} in rendered.askd_container["volumeMounts"]


def test_files_of_the_image_are_not_hidden() -> None:
    """A spec without files mounts nothing over the image's /answers."""
    rendered = render_case("custom image")
    assert rendered.environment["ASKD_ANSWERER"] == "package.module:attr"
    assert [mount["mountPath"] for mount in rendered.askd_container["volumeMounts"]] == ["/tmp"]


def test_gateways_for_mcp_find_the_service() -> None:
    """Protocol and labels of the Service are values, and the key for interrupted calls comes from a Secret."""
    rendered = render_case("mcp")
    service = rendered.only("Service", "askd")
    assert service["spec"]["ports"][0]["appProtocol"] == "mcp"
    assert service["metadata"]["labels"]["kagent.dev/mcp-service"] == "true"
    assert rendered.environment["ASKD_MCP_SECRET"] == {"secretKeyRef": {"name": "mcp", "key": "key"}}


def test_secrets_are_references() -> None:
    """Secrets are mounted or referenced; their values are never in the manifests."""
    rendered = render_case("every secret")
    assert rendered.environment["ASKD_REDIS_URL"] == {"secretKeyRef": {"name": "redis", "key": "url"}}
    assert rendered.askd_container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    mounted = {volume["secret"]["secretName"] for volume in rendered.pod_spec["volumes"] if "secret" in volume}
    assert mounted == {"tokens", "c"}
    assert not any("subPath" in mount for mount in rendered.askd_container["volumeMounts"])
    assert not rendered.of_kind("Secret")


def test_cpu_target_is_absolute() -> None:
    """The HorizontalPodAutoscaler targets 700m CPU of the askd container, not a share of the request."""
    spec = render_case("hpa").only("HorizontalPodAutoscaler")["spec"]
    target = {"type": "AverageValue", "averageValue": "700m"}
    assert spec["metrics"] == [
        {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "askd", "target": target}}
    ]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    assert set(spec["behavior"]) == {"scaleUp", "scaleDown"}


@pytest.mark.parametrize(
    ("name", "request_and_target"),
    [
        ("worker processes", ("1400m", "1400m")),
        ("worker processes by the CPU limit", ("2100m", "2100m")),
        ("worker processes with resources", ("500m", "1")),
    ],
)
def test_worker_processes_use_a_cpu_each(name: str, request_and_target: tuple[str, str]) -> None:
    """The default CPU request and target are 700m for each worker process; given values are kept."""
    rendered = render_case(name)
    if "limit" in name:
        target = rendered.only("ScaledObject")["spec"]["triggers"][0]["metadata"]["value"]
    else:
        target = rendered.only("HorizontalPodAutoscaler")["spec"]["metrics"][0]["containerResource"]["target"][
            "averageValue"
        ]
    assert (rendered.askd_container["resources"]["requests"]["cpu"], str(target)) == request_and_target


def test_autoscaler_metrics_and_tolerance() -> None:
    """Saturation, custom metrics and a tolerance are added to CPU."""
    spec = render_case("hpa on everything").only("HorizontalPodAutoscaler")["spec"]
    assert [metric["type"] for metric in spec["metrics"]] == ["ContainerResource", "Pods", "Resource"]
    assert spec["metrics"][1]["pods"]["target"]["averageValue"] == "500m"
    assert {policy["tolerance"] for policy in spec["behavior"].values()} == {"0.05"}
    assert "tolerance" not in str(render_case("hpa").only("HorizontalPodAutoscaler"))


def test_keda_does_not_scale_down_without_data() -> None:
    """A Prometheus that is down or lacks data does not scale the Deployment down."""
    spec = render_case("keda").only("ScaledObject")["spec"]
    trigger = spec["triggers"][1]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["metadata"]["serverAddress"] == "http://prometheus:9090"
    assert trigger["authenticationRef"] == {"name": "credentials"}
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 4, "behavior": "currentReplicasIfHigher"}
    assert 'namespace="here",pod=~"askd-[a-z0-9]+-[a-z0-9]+"' in trigger["metadata"]["query"]
    assert "fallback" not in render_case("keda on cpu").only("ScaledObject")["spec"]


def test_saturation_query_uses_documented_metrics() -> None:
    """Every metric of the saturation query is in the reference."""
    query = render_case("keda").only("ScaledObject")["spec"]["triggers"][1]["metadata"]["query"]
    names = set(re.findall(r"(askd_\w+?)(?:_sum|_count)?\{", query))
    reference = (CHART_FOLDER.parent / "docs" / "reference" / "metrics.md").read_text("utf-8")
    assert names == set(re.findall(r"\b(askd_\w+)", reference)) & names
    assert {"askd_concurrency_limit", "askd_shed_total", "askd_clients_left_queue_total"} <= names


def test_slow_start() -> None:
    """The startup probe bounds the time to load, and the rollout fails a minute after it."""
    rendered = render_case("slow start")
    probe = rendered.askd_container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 3600
    assert rendered.deployment_spec["progressDeadlineSeconds"] == 5 + 3600 + 60 + 30


def test_probe_settings() -> None:
    """Liveness and readiness probes can be configured or omitted; the startup probe always exists."""
    container = render_case("other probes").askd_container
    assert container["livenessProbe"]["periodSeconds"] == 20
    assert container["readinessProbe"]["failureThreshold"] == 5
    assert {name for name in render_case("no probes").askd_container if name.endswith("Probe")} == {"startupProbe"}


def test_zero_pre_stop_has_no_hook() -> None:
    """`stop.preStop: 0` omits the hook, because older versions of Kubernetes reject a sleep of 0."""
    container = render_case("no preStop").askd_container
    assert "lifecycle" not in container
    assert container["livenessProbe"]["terminationGracePeriodSeconds"] == 1


@pytest.mark.parametrize(
    ("name", "account", "created"),
    [
        ("default", "askd", 1),
        ("named account", "me", 1),
        ("existing account", "other", 0),
        ("default account", "default", 0),
    ],
)
def test_service_account(name: str, account: str, created: int) -> None:
    """A ServiceAccount without a token is created, or an existing one is used."""
    rendered = render_case(name)
    assert rendered.pod_spec["serviceAccountName"] == account
    assert [item["automountServiceAccountToken"] for item in rendered.of_kind("ServiceAccount")] == [False] * created


def test_labels_do_not_change_the_selector() -> None:
    """Labels of the user are added, but cannot replace the selector labels."""
    rendered = render_case("labels")
    assert rendered.only("Service", "askd")["metadata"]["annotations"] == {"owner": "me", "year": "2026"}
    assert rendered.only("Deployment")["metadata"]["annotations"] == {"a": "b", "owner": "me", "year": "2026"}
    selector = rendered.deployment_spec["selector"]["matchLabels"]
    pod = rendered.deployment_spec["template"]["metadata"]
    assert selector.items() <= pod["labels"].items()
    assert (pod["labels"]["team"], pod["labels"]["pod"], pod["annotations"]["sidecar"]) == ("answers", "yes", "no")
    assert pod["annotations"]["prometheus.io/port"] == "2025"
    assert selector == render_case("default").deployment_spec["selector"]["matchLabels"]


def test_chart_version_does_not_restart_pods() -> None:
    """The pod template does not contain the chart's version, so that a new chart alone causes no rollout."""
    assert "helm.sh/chart" not in render_case("default").deployment_spec["template"]["metadata"]["labels"]


def test_openshift_user() -> None:
    """Null removes user, group and fsGroup, so that OpenShift can choose them."""
    context = render_case("openshift").pod_spec["securityContext"]
    assert {"runAsUser", "runAsGroup", "fsGroup"}.isdisjoint(context)
    assert context["runAsNonRoot"] is True


def test_scheduling() -> None:
    """Node selector, affinity, tolerations, priority and runtime class reach the pod; [] disables spreading."""
    pod = render_case("scheduling").pod_spec
    assert (pod["nodeSelector"], pod["priorityClassName"], pod["runtimeClassName"]) == (
        {"disk": "ssd"},
        "high",
        "gvisor",
    )
    assert pod["tolerations"] == [{"key": "a", "operator": "Exists"}]
    assert "affinity" in pod
    assert "topologySpreadConstraints" not in pod
    assert render_case("custom spread").pod_spec["topologySpreadConstraints"][0]["topologyKey"] == "rack"
    assert len(render_case("default").pod_spec["topologySpreadConstraints"]) == 2


def test_extra_objects_are_added() -> None:
    """Extra variables, volumes, containers and objects are added; templates in objects are rendered."""
    rendered = render_case("extras")
    assert rendered.environment["OPENAI_BASE_URL"] == "http://models"
    assert rendered.environment["RETRIES"] == "3"
    assert rendered.environment["POD"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert {"configMapRef": {"name": "more"}} in rendered.askd_container["envFrom"]
    assert {volume["name"] for volume in rendered.pod_spec["volumes"]} == {"tmp", "models"}
    assert [container["name"] for container in rendered.pod_spec["initContainers"]] == ["fetch", "sidecar"]
    assert [container["name"] for container in rendered.pod_spec["containers"]] == ["askd", "proxy"]
    assert rendered.only("ConfigMap", "one")["data"] == {"release": "askd"}
    assert rendered.only("ConfigMap", "askd-two")


@pytest.mark.parametrize(
    ("name", "access"), [("default", "open"), ("tokens", "unauthorized"), ("tests with a token", "token")]
)
def test_helm_test_knows_whether_tokens_are_required(name: str, access: str) -> None:
    """`helm test` sends its token, expects a 401 without one, or needs none."""
    spec = render_case(name).only("Pod")["spec"]
    assert spec["containers"][0]["args"][-1] == access
    assert bool(spec.get("volumes")) == (access == "token")


def test_newest_kubernetes_is_the_default() -> None:
    """The tests render for the newest version that they validate against."""
    assert KUBERNETES_VERSION.startswith("1.37")


def test_autoscaling_example() -> None:
    """docs/examples/autoscaling scales a function between two and four replicas by its CPU."""
    values = CHART_FOLDER.parent / "docs" / "examples" / "autoscaling" / "values.yaml"
    objects = render_chart(yaml.safe_load(values.read_text("utf-8")))
    (scaler,) = (item for item in objects if item["kind"] == "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 4)
    assert scaler["spec"]["metrics"][0]["containerResource"]["target"] == {
        "type": "AverageValue",
        "averageValue": "200m",
    }
