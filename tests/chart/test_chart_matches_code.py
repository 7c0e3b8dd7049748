"""Chart and code agree: variables, ports, paths, mounts and times of the rendered pod are those of the code."""

import dataclasses
import math
from typing import Any

import pytest
from aiohttp import web

from service import __version__, usual
from service.answerers import spec
from service.app import create_ops_app
from service.guards.health import Health
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.variables import variable_name
from tests.chart.cases import CASES, CODE
from tests.chart.generated_settings import DERIVED, camel, fields
from tests.chart.manual import CHART, VALUES, leaves, read
from tests.chart.render import Rendered, template

OWN = {variable_name(field.name) for field in dataclasses.fields(Settings)}
SLACK = 5
"""Seconds of the grace period for what no setting counts."""


def loaded(rendered: Rendered) -> Settings:
    """Read the variables of a rendered pod as askd would; what comes from a Secret is filled in."""
    env = {name: text if isinstance(text, str) else "redis://host" for name, text in rendered.env.items()}
    return Settings.load({}, env)


@pytest.mark.parametrize("case", CASES)
def test_every_variable_is_a_setting_that_loads(case: str) -> None:
    """Each ASKD_ variable of each case is a setting, and askd takes its value."""
    rendered = template(CASES[case])
    assert {name for name in rendered.env if name.startswith("ASKD_")} <= OWN
    loaded(rendered)


def test_every_setting_can_be_reached() -> None:
    """Each setting is a value under `settings`, or is derived from the value that the table names."""
    known = {value.name for value in leaves(read(VALUES.read_text("utf-8")))}
    assert {f"settings.{camel(field.name)}" for field in fields()} == {n for n in known if n.startswith("settings.")}
    for name, value in DERIVED.items():
        assert name in {field.name for field in dataclasses.fields(Settings)}
        assert value == "constant" or any(each.startswith(value) for each in known), value


def test_every_setting_is_set_by_some_case() -> None:
    """The cases together set every variable that there is."""
    seen = {name for case in CASES.values() for name in template(case).env}
    assert seen >= OWN


def test_the_defaults_are_the_codes_own() -> None:
    """Without values every setting but the addresses has the default that it has in the code."""
    usual, found = Settings(), loaded(template({}))
    own = {"host", "ops_port"}
    for field in dataclasses.fields(Settings):
        if field.name not in own:
            assert getattr(found, field.name) == getattr(usual, field.name), field.name


def test_values_arrive_as_they_were_meant() -> None:
    """What a case sets is what the server then has, large numbers, lists and zeros too."""
    found = loaded(template(CASES["settings"]))
    assert (found.question_max_length, found.max_connections, found.body_max_size) == (1_000_000, 100_000, 1 << 20)
    assert (found.deadline, found.queue, found.drain_delay, found.cache_size) == (1.5, 0, 0.0, 0)
    assert [str(network) for network in found.trusted_proxies] == ["10.0.0.0/8", "2001:db8::/32"]
    assert (found.latency_buckets, found.concurrency, found.prefix) == ((0.1, 1.0), 8, "/answers")


def paths() -> set[str]:
    """Return the paths that the ops port of the code answers."""
    app: web.Application = create_ops_app(Settings(), Health(30.0), Metrics((1.0,)))
    return {resource.canonical for resource in app.router.resources()}


@pytest.mark.parametrize("case", CASES)
def test_probes_and_scrapes_ask_what_is_there(case: str) -> None:
    """Every probe asks a path of the ops app at the ops port, and so does every scrape."""
    rendered = template(CASES[case])
    ports = {port["name"]: port["containerPort"] for port in rendered.container["ports"]}
    settings = loaded(rendered)
    assert ports == {"http": settings.port, "ops": settings.ops_port}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe := rendered.container.get(name):
            assert probe["httpGet"]["port"] == "ops"
            assert probe["httpGet"]["path"] in paths()
    annotations = rendered.deployment["template"]["metadata"]["annotations"]
    assert annotations.get("prometheus.io/path", "/metrics") in paths()
    assert annotations.get("prometheus.io/port", str(settings.ops_port)) == str(settings.ops_port)


@pytest.mark.parametrize("case", CASES)
def test_services_lead_to_ports_that_are_there(case: str) -> None:
    """Every target port of every Service is a port of the container."""
    rendered = template(CASES[case])
    ports = {port["name"] for port in rendered.container["ports"]}
    for service in rendered.all("Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize("case", CASES)
def test_every_file_that_a_variable_names_is_mounted(case: str) -> None:
    """A file or folder that a setting names lies in a mount, each mount has its volume, and each volume its mount."""
    rendered = template(CASES[case])
    mounts = {mount["mountPath"]: mount["name"] for mount in rendered.container["volumeMounts"]}
    volumes = {volume["name"] for volume in rendered.pod["volumes"]}
    assert set(mounts.values()) == volumes
    for name, text in rendered.env.items():
        if name.startswith("ASKD_") and name.endswith(("_FILE", "_CERT", "_KEY")) and "GRAPH" not in name:
            assert text in mounts or text.rpartition("/")[0] in mounts, name


class _Kind:
    """As much of an answerer as the deadline asks for."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


BOOK = {"answerer": {"spec": "faq.yaml", "existingConfigMap": "a"}}
TIMES: list[tuple[dict[str, Any], str]] = [
    ({}, "function"),  # an image may bring code along
    ({"answerer": {"files": {"book.yaml": ""}}}, "book"),
    ({"answerer": {"files": {"answer.py": ""}}}, "function"),
    ({"answerer": {"volume": {"emptyDir": {}}}}, "function"),
    ({"answerer": CODE}, "function"),
    (BOOK, "book"),
    ({"answerer": {"spec": "books", "existingConfigMap": "a"}}, "function"),
    ({"answerer": {"spec": "langgraph.json"}}, "graph"),
    ({"answerer": {"spec": "langgraph.json#a"}}, "graph"),
    ({"answerer": {"spec": "http://host/faq.yaml"}}, "langgraph"),
    ({"settings": {"deadline": "2m"}}, "book"),
    ({"settings": {"deadline": 1.5, "drainTimeout": "1h"}}, "book"),
    ({**BOOK, "settings": {"drainTimeout": 10}}, "book"),
    ({**BOOK, "stop": {"preStop": 0}, "settings": {"drainDelay": 0, "shutdownTimeout": 0, "flushTimeout": 0}}, "book"),
    ({**BOOK, "stop": {"preStop": 60}, "settings": {"drainDelay": "1.5m", "shutdownTimeout": "2500ms"}}, "book"),
]


@pytest.mark.parametrize(("values", "kind"), TIMES, ids=str)
def test_the_grace_period_is_the_sum_of_the_stops_steps(values: dict[str, Any], kind: str) -> None:
    """Sleep, drain delay, drain time-out, shutdown, flush and 5 s, by the code's own arithmetic."""
    rendered = template(values)
    settings = loaded(rendered)
    sleep = rendered.container.get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})["preStop"]["sleep"]["seconds"]
    drain = spec.drain_timeout(settings, _Kind(kind))  # type: ignore[arg-type]  # the kind is all that is looked at
    steps = sleep + settings.drain_delay + drain + settings.shutdown_timeout + settings.flush_timeout
    assert rendered.pod["terminationGracePeriodSeconds"] == math.ceil(steps) + SLACK
    assert rendered.container["livenessProbe"]["terminationGracePeriodSeconds"] == sleep + 1


def test_a_hung_loop_leaves_the_rotation_and_is_restarted_in_time() -> None:
    """Readiness fails 5 s after the loop stood still, and the probes' times keep 25 s and 70 s."""
    rendered = template({})
    ready, alive = rendered.container["readinessProbe"], rendered.container["livenessProbe"]
    out = 5 + ready["periodSeconds"] * ready["failureThreshold"] + ready["timeoutSeconds"]
    restarted = loaded(rendered).stall_limit + alive["periodSeconds"] * alive["failureThreshold"]
    assert out < 25
    assert restarted + alive["terminationGracePeriodSeconds"] < 70


def test_the_answers_are_where_the_image_works() -> None:
    """The mount of the answerer's files is /answers, the working folder of the image."""
    assert {"name": "answers", "mountPath": "/answers", "readOnly": True} in template(CASES["files"]).container[
        "volumeMounts"
    ]


def test_the_usual_names_are_the_codes() -> None:
    """The chart knows the names that askd looks for where nobody says what answers."""
    text = (CHART / "templates" / "_times.tpl").read_text("utf-8")
    assert "list " + " ".join(f'"{name}"' for name in usual.NAMES) in text


def test_the_version_is_the_packages() -> None:
    """The default image is that of this version of askd."""
    assert template({}).container["image"] == f"askd:{__version__}"
