"""Settings from options and variables: precedence, errors, conflicts, and variables that Kubernetes injects."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.config import Settings, unknown_variables
from askd.config.environment import flag_name, variable_name
from askd.config.fields import setting
from askd.errors import SettingsError

FIELDS = dataclasses.fields(Settings)

# Service links that the kubelet injects for two Services: askd (one port, named http) and askd-ops (two ports).
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
    """Without settings, askd listens on port 2024 of the loopback interface and serves the built-in book."""
    settings = Settings.load({}, {})
    assert settings == Settings()
    assert (settings.host, settings.main_port, settings.ops_port, settings.answerer) == ("127.0.0.1", 2024, None, None)


def test_option_overrides_variable() -> None:
    """An option takes precedence over its variable."""
    assert Settings.load({"port": "1"}, {"ASKD_PORT": "2"}).port == 1


def test_overridden_variable_is_not_parsed() -> None:
    """A variable that an option overrides may be invalid."""
    assert Settings.load({"port": "1"}, {"ASKD_PORT": "x"}).port == 1


@pytest.mark.parametrize(
    ("flags", "environ", "port"),
    [
        ({}, {"PORT": "8080"}, 8080),
        ({}, {"PORT": "8080", "ASKD_PORT": "2"}, 2),
        ({}, {"PORT": "8080", "ASKD_PORT": ""}, 8080),
        ({}, {"PORT": "8080", "ASKD_PORT": "tcp://10.96.0.10:80"}, 8080),
        ({}, {"PORT": ""}, None),
        ({"port": "1"}, {"PORT": "x"}, 1),
        ({}, {"OPS_PORT": "1", "HOST": "::"}, None),
    ],
)
def test_port_of_the_platform(flags: dict[str, str], environ: dict[str, str], port: int | None) -> None:
    """PORT is the default of the port: the option and ASKD_PORT override it. No other setting has such a variable."""
    assert Settings.load(flags, environ) == Settings(port=port)


def test_invalid_port_of_the_platform_is_reported() -> None:
    """An invalid PORT is an error that names it."""
    with pytest.raises(SettingsError, match="PORT='http': expected a whole number"):
        Settings.load({}, {"PORT": "http"})


def test_empty_variable_is_unset() -> None:
    """An empty variable counts as unset, because manifests often contain empty ones."""
    assert Settings.load({}, {"ASKD_PORT": " ", "ASKD_HOST": ""}) == Settings()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_names_of_option_and_variable(field: "dataclasses.Field[object]") -> None:
    """The option is the field's name in kebab-case, the variable is the name in capitals."""
    assert flag_name(field.name) == "--" + field.name.replace("_", "-")
    assert variable_name(field.name) == "ASKD_" + field.name.upper()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_has_default_and_help(field: "dataclasses.Field[object]") -> None:
    """Every setting has a default and a help text of whole sentences."""
    assert field.default is not dataclasses.MISSING
    assert re.fullmatch(r"[A-Za-z0-9].{20,}\.", field.metadata["help"])


def test_all_errors_are_reported_at_once() -> None:
    """One error contains all invalid settings, each with its name, its value and the accepted text."""
    with pytest.raises(SettingsError) as caught:
        Settings.load({"port": "x"}, {"ASKD_THREADS": "0", "ASKD_DRAIN_DELAY": "soon", "ASKD_HOST": "::"})
    threads, port, delay = caught.value.errors
    assert threads == "ASKD_THREADS='0': expected a whole number from 1 to 1024"
    assert port == "--port='x': expected a whole number from 0 to 65535"
    assert re.match(r"ASKD_DRAIN_DELAY='soon': expected a duration such as .* at most 600s", delay)


def test_conflicts_are_reported_with_the_fix() -> None:
    """Settings that conflict are rejected with a hint."""
    with pytest.raises(SettingsError, match=r"--ops-port=8080 is also --port: use another port"):
        Settings.load({"port": "8080", "ops_port": "8080"}, {})


def test_both_ports_may_be_zero() -> None:
    """Port 0 twice is not a conflict: each picks a free port."""
    assert Settings.load({"port": "0", "ops_port": "0"}, {}).ops_port == 0


def test_settings_are_frozen() -> None:
    """Settings cannot change while the server runs."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]  # the assignment is under test


@pytest.mark.parametrize(
    ("text", "prefix"), [("/", ""), ("/answers", "/answers"), ("/a/b-c/", "/a/b-c"), (" /x ", "/x"), ("", "")]
)
def test_prefix_accepts(text: str, prefix: str) -> None:
    """A prefix is a path, whose trailing slash is removed; / is the empty prefix."""
    assert Settings.load({"prefix": text}, {}).prefix == prefix


@pytest.mark.parametrize("text", ["answers", "/a//b", "/a b", "/ä", "/{x}", "http://x/", "/a?b"])
def test_prefix_rejects(text: str) -> None:
    """Anything but a plain path is rejected."""
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
def test_origins_accept(text: str, origins: tuple[str, ...]) -> None:
    """Origins are separated by commas; a trailing slash is removed."""
    assert Settings.load({"cors_origins": text}, {}).cors_origins == origins


@pytest.mark.parametrize("text", ["example.org", "https://a/path", "ftp://a", "https://*.a"])
def test_origins_reject(text: str) -> None:
    """Invalid origins are rejected with examples of valid ones."""
    with pytest.raises(SettingsError, match="origins such as https://"):
        Settings.load({"cors_origins": text}, {})


def test_latency_buckets_accept() -> None:
    """Buckets are ascending durations, converted to seconds."""
    assert Settings.load({"latency_buckets": "5ms, 1s,2m"}, {}).latency_buckets == (0.005, 1.0, 120.0)


@pytest.mark.parametrize("text", ["", "1s,1s", "2s,1s", "0,1s", "x", ",".join(f"{n}s" for n in range(1, 42))])
def test_latency_buckets_reject(text: str) -> None:
    """Bounds that descend, repeat, are zero or are too many are rejected."""
    with pytest.raises(SettingsError, match="1 to 40 ascending durations"):
        Settings.load({"latency_buckets": text}, {})


def test_injected_variables_are_ignored() -> None:
    """Variables that Kubernetes injects for Services called askd, askd-ops etc. set nothing and cause no warning."""
    assert Settings.load({}, INJECTED) == Settings()
    assert unknown_variables(INJECTED) == {}


@pytest.mark.parametrize("link", ["tcp://10.0.0.1:80", "udp://10.0.0.1:53", "sctp://10.0.0.1:5", "tcp://[fd00::1]:80"])
@pytest.mark.parametrize("name", ["ASKD_PORT", "ASKD_OPS_PORT"])
def test_service_link_is_not_a_port(name: str, link: str) -> None:
    """A port variable with a service link counts as unset, for each protocol and address family."""
    assert Settings.load({}, {name: link}) == Settings()


def test_port_of_the_manifest_is_used() -> None:
    """A port that the pod's manifest sets is used, although Kubernetes injects similar variables."""
    assert Settings.load({}, INJECTED | {"ASKD_PORT": "8080", "ASKD_OPS_PORT": "9090"}).port == 8080


@given(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.integers(1, 65535))
def test_service_links_of_any_askd_service_are_ignored(service: str, port: int) -> None:
    """The seven variables of a Service called askd-<anything> cause no warning."""
    link = f"tcp://10.0.0.1:{port}"
    prefix = f"ASKD_{service}"
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", f"PORT_{port}_TCP_PROTO", f"PORT_{port}_TCP_ADDR"]
    injected = {f"{prefix}_{name}": "x" for name in names} | {f"{prefix}_PORT": link, f"{prefix}_PORT_{port}_TCP": link}
    assert unknown_variables(injected) == {}


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("ASKD_PROT", "ASKD_PORT"),
        ("ASKD_LOGLEVEL", "ASKD_LOG_LEVEL"),
        ("ASKD_DRAIN_DELAYS", "ASKD_DRAIN_DELAY"),
        ("ASKD_XYZZY", None),
    ],
)
def test_unknown_variable_has_a_suggestion(name: str, similar: str | None) -> None:
    """An ASKD_ variable that is not a setting is returned with the most similar name, if any."""
    assert unknown_variables({name: "1", "ASKD_PORT": "1", "PATH": "x", "MY_ASKD_X": "1"}) == {name: similar}


def test_unknown_port_with_a_number_is_reported() -> None:
    """ASKD_METRICS_PORT=9090 is a mistake of the user: Kubernetes injects links, not numbers."""
    assert list(unknown_variables({"ASKD_METRICS_PORT": "9090"})) == ["ASKD_METRICS_PORT"]


def test_secrets_are_hidden() -> None:
    """The value of a secret setting is replaced in errors and in the log."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class SettingsWithSecrets(Settings):
        key: str = setting("", lambda text: text[: int(text == "good")], "A key.", group="log", secret=True)
        pin: int = setting(0, int, "A pin.", group="log", secret=True)

    assert SettingsWithSecrets(key="sesame").as_redacted_dict()["key"] == "***"
    assert SettingsWithSecrets().as_redacted_dict()["key"] == ""
    with pytest.raises(SettingsError) as caught:
        SettingsWithSecrets.load({"pin": "sesame"}, {})
    assert "ASKD_PIN" not in str(caught.value)
    assert str(caught.value).startswith("--pin=***")


@given(st.dictionaries(st.sampled_from([field.name for field in FIELDS]), st.text(max_size=30)))
def test_any_text_loads_or_is_reported(flags: dict[str, str]) -> None:
    """For any option values, loading succeeds or raises one line with a hint for each error."""
    errors: tuple[str, ...] = ()
    try:
        Settings.load(flags, {})
    except SettingsError as error:
        errors = error.errors
    assert len(errors) <= len(flags)
    assert all("\n" not in error and re.search(r": (expected|set|use) ", error) for error in errors)


def test_password_in_url_is_hidden() -> None:
    """An answerer's URL is logged without credentials."""
    assert Settings(answerer="http://me:secret@host:1").as_redacted_dict()["answerer"] == "http://***@host:1"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"debug": "on"}, "--debug serves /debug/stacks on the ops port only: set --ops-port"),
        ({"stall_dump_after": "40s"}, "--stall-dump-after=40s is not below --stall-timeout=30s"),
        ({"rate_burst": "9"}, "--rate-burst=9 requires --rate-limit: set"),
        (
            {"book_match": "exact", "book_threshold": "0.5"},
            "--book-threshold=0.5 has no effect with --book-match=exact",
        ),
        ({"book_match": "exact", "book_semantic": "on"}, "--book-semantic has no effect with --book-match=exact"),
        ({"docs_require_token": "on"}, "--docs-require-token requires --tokens-file: set"),
        (
            {"upstream_authorization": "forward", "tokens_file": "tokens"},
            "--tokens-file both need the client's Authorization header: use only one",
        ),
        ({"upstream_authorization": "forward", "deterministic": "on"}, "would answer clients from the cache"),
        ({"tls_key": "key.pem"}, "--tls-key is set without --tls-cert: set both"),
        ({"deadline": "9s", "drain_timeout": "5s"}, "--drain-timeout=5s is shorter than --deadline=9s"),
    ],
)
def test_conflict(flags: dict[str, str], message: str) -> None:
    """A setting that conflicts with another, or that needs another one, is rejected with a hint."""
    with pytest.raises(SettingsError, match=message):
        Settings.load(flags, {})


def test_debug_with_ops_port() -> None:
    """Debug endpoints are allowed if there is an ops port."""
    assert Settings.load({"debug": "on", "ops_port": "1"}, {}).debug
