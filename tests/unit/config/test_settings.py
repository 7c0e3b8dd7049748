"""Settings: flags, then variables; every fault at once; what Kubernetes injects is passed over."""

import dataclasses
import re

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import SettingsError
from service.settings import Settings, unknown_variables
from service.settings.manual import setting
from service.variables import flag_name, variable_name

FIELDS = dataclasses.fields(Settings)

# What a pod sees for two Services, askd (one port, named http) and askd-ops (two ports): the kubelet's service links.
INJECTED = {
    "ASKD_SERVICE_HOST": "10.96.0.10",
    "ASKD_SERVICE_PORT": "80",
    "ASKD_SERVICE_PORT_HTTP": "80",
    "ASKD_PORT": "tcp://10.96.0.10:80",
    "ASKD_PORT_80_TCP": "tcp://10.96.0.10:80",
    "ASKD_PORT_80_TCP_PROTO": "tcp",
    "ASKD_PORT_80_TCP_PORT": "80",
    "ASKD_PORT_80_TCP_ADDR": "10.96.0.10",
    "ASKD_OPS_SERVICE_HOST": "10.96.0.11",
    "ASKD_OPS_SERVICE_PORT": "9090",
    "ASKD_OPS_SERVICE_PORT_HTTP_METRICS": "9090",
    "ASKD_OPS_PORT": "tcp://10.96.0.11:9090",
    "ASKD_OPS_PORT_9090_TCP": "tcp://10.96.0.11:9090",
    "ASKD_OPS_PORT_9090_TCP_PROTO": "tcp",
    "ASKD_OPS_PORT_9090_TCP_PORT": "9090",
    "ASKD_OPS_PORT_9090_TCP_ADDR": "10.96.0.11",
    "ASKD_OPS_PORT_53_UDP": "udp://10.96.0.11:53",
    "ASKD_REDIS_PORT": "tcp://10.96.0.12:6379",
    "ASKD_REDIS_SERVICE_HOST": "10.96.0.12",
}


def test_defaults() -> None:
    """Nothing given: this machine only, port 2024, the built-in book."""
    settings = Settings.load({}, {})
    assert settings == Settings()
    assert (settings.host, settings.main_port, settings.ops_port, settings.answerer) == ("127.0.0.1", 2024, None, None)


def test_flag_beats_variable() -> None:
    """A flag wins over its variable."""
    assert Settings.load({"port": "1"}, {"ASKD_PORT": "2"}).port == 1


def test_flag_beats_faulty_variable() -> None:
    """A variable that a flag overrides is not even read."""
    assert Settings.load({"port": "1"}, {"ASKD_PORT": "x"}).port == 1


def test_empty_variable_is_unset() -> None:
    """An empty variable counts as unset, as manifests often leave one."""
    assert Settings.load({}, {"ASKD_PORT": " ", "ASKD_HOST": ""}) == Settings()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_names_come_from_the_field(field: "dataclasses.Field[object]") -> None:
    """Flag and variable are the field's name in kebab-case and in capitals."""
    assert flag_name(field.name) == "--" + field.name.replace("_", "-")
    assert variable_name(field.name) == "ASKD_" + field.name.upper()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_explains_itself(field: "dataclasses.Field[object]") -> None:
    """Every setting has a default and a sentence of help."""
    assert field.default is not dataclasses.MISSING
    assert re.fullmatch(r"[A-Za-z0-9].{20,}\.", field.metadata["help"])


def test_every_fault_is_reported_at_once() -> None:
    """All faulty settings come in one error, each with its name, its value and what is allowed."""
    with pytest.raises(SettingsError) as caught:
        Settings.load({"port": "x"}, {"ASKD_THREADS": "0", "ASKD_DRAIN_DELAY": "soon", "ASKD_HOST": "::"})
    threads, port, delay = caught.value.faults
    assert threads == "ASKD_THREADS='0': give a whole number from 1 to 1024"
    assert port == "--port='x': give a whole number from 0 to 65535"
    assert re.match(r"ASKD_DRAIN_DELAY='soon': give a duration such as .* at most 600s", delay)


def test_contradictions_are_reported_with_the_mend() -> None:
    """Two settings that cannot both hold are refused."""
    with pytest.raises(SettingsError, match=r"--ops-port=8080 is --port as well: give another"):
        Settings.load({"port": "8080", "ops_port": "8080"}, {})


def test_both_ports_may_be_free_ones() -> None:
    """Port 0 twice is no contradiction: each takes a free one."""
    assert Settings.load({"port": "0", "ops_port": "0"}, {}).ops_port == 0


def test_settings_are_frozen() -> None:
    """Settings cannot change while the server runs."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]  # what the test is about


@pytest.mark.parametrize(
    ("text", "prefix"), [("/", ""), ("/answers", "/answers"), ("/a/b-c/", "/a/b-c"), (" /x ", "/x"), ("", "")]
)
def test_prefix_reads(text: str, prefix: str) -> None:
    """A prefix is a path without the slash at its end; / is none."""
    assert Settings.load({"prefix": text}, {}).prefix == prefix


@pytest.mark.parametrize("text", ["answers", "/a//b", "/a b", "/ä", "/{x}", "http://x/", "/a?b"])
def test_prefix_refuses(text: str) -> None:
    """What is no plain path is refused."""
    with pytest.raises(SettingsError, match="a path such as /answers"):
        Settings.load({"prefix": text}, {})


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://a.example, http://localhost:3000/", ("https://a.example", "http://localhost:3000")),
        ("*", ("*",)),
        ("http://[::1]:80", ("http://[::1]:80",)),
        ("", ()),
    ],
)
def test_origins_read(text: str, origins: tuple[str, ...]) -> None:
    """Origins are separated by commas; a slash at the end of one does no harm."""
    assert Settings.load({"cors_origins": text}, {}).cors_origins == origins


@pytest.mark.parametrize("text", ["example.org", "https://a/path", "ftp://a", "https://*.a"])
def test_origins_refuse(text: str) -> None:
    """What is no origin is refused with examples."""
    with pytest.raises(SettingsError, match="origins such as https://"):
        Settings.load({"cors_origins": text}, {})


def test_buckets_read() -> None:
    """Buckets are rising durations, in seconds."""
    assert Settings.load({"latency_buckets": "5ms, 1s,2m"}, {}).latency_buckets == (0.005, 1.0, 120.0)


@pytest.mark.parametrize("text", ["", "1s,1s", "2s,1s", "0,1s", "x", ",".join(f"{n}s" for n in range(1, 42))])
def test_buckets_refuse(text: str) -> None:
    """Falling, equal, zero or too many edges are refused."""
    with pytest.raises(SettingsError, match="1 to 40 rising durations"):
        Settings.load({"latency_buckets": text}, {})


def test_injected_variables_are_passed_over() -> None:
    """What Kubernetes injects for Services called askd, askd-ops and the like neither sets nor warns."""
    assert Settings.load({}, INJECTED) == Settings()
    assert unknown_variables(INJECTED) == {}


@pytest.mark.parametrize("link", ["tcp://10.0.0.1:80", "udp://10.0.0.1:53", "sctp://10.0.0.1:5", "tcp://[fd00::1]:80"])
@pytest.mark.parametrize("name", ["ASKD_PORT", "ASKD_OPS_PORT"])
def test_a_service_link_is_no_port(name: str, link: str) -> None:
    """A port that is a link to a Service counts as unset, for each protocol and family."""
    assert Settings.load({}, {name: link}) == Settings()


def test_a_port_beside_injected_ones_counts() -> None:
    """A port that the pod's own manifest sets is read, whatever is injected around it."""
    assert Settings.load({}, INJECTED | {"ASKD_PORT": "8080", "ASKD_OPS_PORT": "9090"}).port == 8080


@hypothesis.settings(deadline=None)  # a busy machine is no fault
@given(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.integers(1, 65535))
def test_any_service_below_askd_is_passed_over(service: str, port: int) -> None:
    """The seven variables of a Service called askd-<anything> never warn."""
    link = f"tcp://10.0.0.1:{port}"
    start = f"ASKD_{service}"
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", f"PORT_{port}_TCP_PROTO", f"PORT_{port}_TCP_ADDR"]
    injected = {f"{start}_{name}": "x" for name in names} | {f"{start}_PORT": link, f"{start}_PORT_{port}_TCP": link}
    assert unknown_variables(injected) == {}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ASKD_PROT", "ASKD_PORT"),
        ("ASKD_LOGLEVEL", "ASKD_LOG_LEVEL"),
        ("ASKD_DRAIN_DELAYS", "ASKD_DRAIN_DELAY"),
        ("ASKD_XYZZY", None),
    ],
)
def test_unknown_variables_name_the_nearest(name: str, near: str | None) -> None:
    """An ASKD_ variable that is no setting is returned with the nearest name, if any is near."""
    assert unknown_variables({name: "1", "ASKD_PORT": "1", "PATH": "x", "MY_ASKD_X": "1"}) == {name: near}


def test_an_unknown_port_with_a_number_is_reported() -> None:
    """Only a link is what Kubernetes injects: ASKD_METRICS_PORT=9090 is somebody's mistake."""
    assert list(unknown_variables({"ASKD_METRICS_PORT": "9090"})) == ["ASKD_METRICS_PORT"]


def test_secrets_are_hidden() -> None:
    """A setting declared secret is shown as stars, in faults and in the log."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Secretive(Settings):
        key: str = setting("", lambda text: text[: int(text == "good")], "A key.", group="log", secret=True)
        pin: int = setting(0, int, "A pin.", group="log", secret=True)

    assert Secretive(key="sesame").shown()["key"] == "***"
    assert Secretive().shown()["key"] == ""
    with pytest.raises(SettingsError) as caught:
        Secretive.load({"pin": "sesame"}, {})
    assert "ASKD_PIN" not in str(caught.value)
    assert str(caught.value).startswith("--pin=***")


@hypothesis.settings(deadline=None)  # a busy machine is no fault
@given(st.dictionaries(st.sampled_from([field.name for field in FIELDS]), st.text(max_size=30)))
def test_no_text_breaks_loading(flags: dict[str, str]) -> None:
    """Whatever the flags say, there are settings, or one line a fault."""
    faults: tuple[str, ...] = ()
    try:
        Settings.load(flags, {})
    except SettingsError as caught:
        faults = caught.faults
    assert len(faults) <= len(flags)
    assert all("\n" not in fault and ": give" in fault for fault in faults)


def test_a_password_in_a_url_is_not_shown() -> None:
    """An answerer's URL is logged without the credentials that somebody put into it."""
    assert Settings(answerer="http://me:secret@host:1").shown()["answerer"] == "http://***@host:1"


def test_stacks_are_asked_for_where_clients_are_not() -> None:
    """Debugging needs the ops port, and a stall is logged before liveness fails."""
    for flags, said in (
        ({"debug": "on"}, "give --ops-port"),
        ({"stall_dump": "40s"}, "is not below --stall-limit=30s"),
    ):
        with pytest.raises(SettingsError, match=said):
            Settings.load(flags, {})
    assert Settings.load({"debug": "on", "ops_port": "1"}, {}).debug
