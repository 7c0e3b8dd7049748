"""Variables, ports, paths, mounts and times of the rendered pod match the code."""

import dataclasses
import math
from typing import Any

import pytest
from aiohttp import web

from askd import __version__
from askd.answerers import folder_search
from askd.app import create_ops_app
from askd.config import Settings
from askd.config.environment import variable_name
from askd.guards.health import Health
from askd.telemetry.metrics import Metrics
from tests.chart.valid_values import CODE_ANSWERER, VALID_VALUES
from tools.chart.helm import RenderedChart, render_chart
from tools.chart.settings_block import DERIVED_SETTINGS, camel_case, chart_fields
from tools.chart.values_file import CHART_FOLDER, VALUES_FILE, leaf_values, parse_values

SETTING_VARIABLES = {variable_name(field.name) for field in dataclasses.fields(Settings)}
EXTRA_GRACE_SECONDS = 5
"""Seconds of the grace period in addition to the settings."""


def load_settings(rendered: RenderedChart) -> Settings:
    """Load the variables of a rendered pod as askd would, with a placeholder for values from a Secret."""
    env = {name: text if isinstance(text, str) else "redis://host" for name, text in rendered.environment.items()}
    return Settings.load({}, env)


@pytest.mark.parametrize("case", VALID_VALUES)
def test_every_variable_is_a_valid_setting(case: str) -> None:
    """Each ASKD_ variable is a setting, and its value is valid."""
    rendered = render_chart(VALID_VALUES[case])
    assert {name for name in rendered.environment if name.startswith("ASKD_")} <= SETTING_VARIABLES
    load_settings(rendered)


def test_every_setting_has_a_value() -> None:
    """Each setting is a value under `settings` or derived from an existing value."""
    names = {value.name for value in leaf_values(parse_values(VALUES_FILE.read_text("utf-8")))}
    assert {f"settings.{camel_case(field.name)}" for field in chart_fields()} == {
        name for name in names if name.startswith("settings.")
    }
    for setting, source in DERIVED_SETTINGS.items():
        assert setting in {field.name for field in dataclasses.fields(Settings)}
        assert source == "constant" or any(name.startswith(source) for name in names), source


def test_cases_set_every_setting() -> None:
    """The valid cases together set every variable."""
    variables = {name for case in VALID_VALUES.values() for name in render_chart(case).environment}
    assert variables >= SETTING_VARIABLES


def test_defaults_match_the_code() -> None:
    """By default, every setting except the addresses has the default of the code."""
    defaults, settings = Settings(), load_settings(render_chart({}))
    for field in dataclasses.fields(Settings):
        if field.name not in {"host", "port", "ops_port"}:
            assert getattr(settings, field.name) == getattr(defaults, field.name), field.name
    assert settings.port == defaults.main_port


def test_values_reach_the_server_unchanged() -> None:
    """Large numbers, lists and zeros have the same value in the chart and in the server."""
    settings = load_settings(render_chart(VALID_VALUES["settings"]))
    assert (settings.question_max_length, settings.max_connections) == (1_000_000, 100_000)
    assert (settings.body_max_size, settings.cache_size, settings.queue_size) == (1 << 20, 0, 0)
    assert (settings.deadline, settings.drain_delay, settings.concurrency) == (1.5, 0.0, 8)
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "2001:db8::/32"]
    assert (settings.latency_buckets, settings.prefix) == ((0.1, 1.0), "/answers")


def ops_paths() -> set[str]:
    """Return the paths that the ops app serves."""
    app: web.Application = create_ops_app(Settings(), Health(30.0), Metrics((1.0,)))
    return {resource.canonical for resource in app.router.resources()}


@pytest.mark.parametrize("case", VALID_VALUES)
def test_probes_and_scrapes_use_existing_paths(case: str) -> None:
    """Probes and scrape annotations use paths of the ops app and the ops port."""
    rendered = render_chart(VALID_VALUES[case])
    ports = {port["name"]: port["containerPort"] for port in rendered.askd_container["ports"]}
    settings = load_settings(rendered)
    assert ports == {"http": settings.port, "ops": settings.ops_port}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe := rendered.askd_container.get(name):
            assert probe["httpGet"]["port"] == "ops"
            assert probe["httpGet"]["path"] in ops_paths()
    annotations = rendered.deployment_spec["template"]["metadata"]["annotations"]
    assert annotations.get("prometheus.io/path", "/metrics") in ops_paths()
    assert annotations.get("prometheus.io/port", str(settings.ops_port)) == str(settings.ops_port)


@pytest.mark.parametrize("case", VALID_VALUES)
def test_services_target_existing_ports(case: str) -> None:
    """Every target port of a Service is a port of the container."""
    rendered = render_chart(VALID_VALUES[case])
    ports = {port["name"] for port in rendered.askd_container["ports"]}
    for service in rendered.of_kind("Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize("case", VALID_VALUES)
def test_files_of_settings_are_mounted(case: str) -> None:
    """Each file in a setting is in a mount, and each mount has a volume and vice versa."""
    rendered = render_chart(VALID_VALUES[case])
    mounts = {mount["mountPath"]: mount["name"] for mount in rendered.askd_container["volumeMounts"]}
    volumes = {volume["name"] for volume in rendered.pod_spec["volumes"]}
    assert set(mounts.values()) == volumes
    for name, text in rendered.environment.items():
        if name.startswith("ASKD_") and name.endswith(("_FILE", "_CERT", "_KEY")) and "GRAPH" not in name:
            assert text in mounts or text.rpartition("/")[0] in mounts, name


BOOK = {"answerer": {"spec": "faq.yaml", "existingConfigMap": "a"}}
GRACE_PERIOD_CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "function"),  # an image may contain code
    ({"answerer": {"files": {"book.yaml": ""}}}, "book"),
    ({"answerer": {"files": {"answer.py": ""}}}, "function"),
    ({"answerer": {"volume": {"emptyDir": {}}}}, "function"),
    ({"answerer": CODE_ANSWERER}, "function"),
    (BOOK, "book"),
    ({"answerer": {"spec": "books", "existingConfigMap": "a"}}, "function"),
    ({"answerer": {"spec": "langgraph.json"}}, "graph"),
    ({"answerer": {"spec": "langgraph.json#a"}}, "graph"),
    ({"answerer": {"spec": "http://host/faq.yaml"}}, "langgraph"),
    ({"settings": {"deadline": "2m"}}, "book"),
    ({"settings": {"deadline": 1.5, "drainTimeout": "1h"}}, "book"),
    ({**BOOK, "settings": {"drainTimeout": 10}}, "book"),
    ({**BOOK, "stop": {"preStop": 0}, "settings": {"drainDelay": 0, "shutdownTimeout": 0, "flushTimeout": 0}}, "book"),
    ({**BOOK, "lifecycle": {"preStop": {"sleep": {"seconds": 20}}}}, "book"),
    ({**BOOK, "stop": {"preStop": 60}, "settings": {"drainDelay": "1.5m", "shutdownTimeout": "2500ms"}}, "book"),
]


@pytest.mark.parametrize(("values", "kind"), GRACE_PERIOD_CASES, ids=str)
def test_grace_period_is_the_sum_of_the_shutdown_steps(values: dict[str, Any], kind: str) -> None:
    """The grace period is preStop sleep, drain delay, drain time-out, closing and flushing, plus 5 s."""
    rendered = render_chart(values)
    settings = load_settings(rendered)
    hook = rendered.askd_container.get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})
    sleep = hook["preStop"]["sleep"]["seconds"]
    drain = settings.effective_drain_timeout(kind)
    steps = sleep + settings.drain_delay + drain + settings.shutdown_timeout + settings.flush_timeout
    assert rendered.pod_spec["terminationGracePeriodSeconds"] == math.ceil(steps) + EXTRA_GRACE_SECONDS
    assert rendered.askd_container["livenessProbe"]["terminationGracePeriodSeconds"] == sleep + 1


def test_blocked_event_loop_is_restarted_in_time() -> None:
    """With a blocked event loop, the pod is not ready after 25 s at most and restarted after 70 s at most."""
    rendered = render_chart({})
    readiness, liveness = rendered.askd_container["readinessProbe"], rendered.askd_container["livenessProbe"]
    # Readiness fails once the loop has been blocked for 5 s.
    unready = 5 + readiness["periodSeconds"] * readiness["failureThreshold"] + readiness["timeoutSeconds"]
    restarted = load_settings(rendered).stall_timeout + liveness["periodSeconds"] * liveness["failureThreshold"]
    assert unready < 25
    assert restarted + liveness["terminationGracePeriodSeconds"] < 70


def test_answerer_files_are_in_the_working_directory() -> None:
    """The answerer's files are mounted at /answers, the working directory of the image."""
    assert {"name": "answers", "mountPath": "/answers", "readOnly": True} in render_chart(
        VALID_VALUES["files"]
    ).askd_container["volumeMounts"]


def test_default_files_match_the_code() -> None:
    """The chart and the code look for the same default files, in the same order."""
    template = (CHART_FOLDER / "templates" / "_times.tpl").read_text("utf-8")
    assert "list " + " ".join(f'"{name}"' for name in folder_search.DEFAULT_SPEC_FILES) in template


def test_default_image_has_the_version_of_the_package() -> None:
    """The default image tag is the version of askd."""
    assert render_chart({}).askd_container["image"] == f"askd:{__version__}"
