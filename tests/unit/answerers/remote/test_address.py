"""The spec of a remote answerer: its parts, its faults, and that it is not askd itself."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answerers.remote import Address
from service.answerers.remote.address import parsed
from service.answerers.spec import question_max_length, resolve
from service.errors import SpecError
from service.settings import Settings

ELSEWHERE = Settings(port=8080)


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ("http://localhost:2024", Address(False, "http://localhost:2024", "")),
        ("http://localhost:2024/", Address(False, "http://localhost:2024", "")),
        ("HTTP://example.org#agent", Address(False, "http://example.org", "agent")),
        ("https://example.org/base/#a-b", Address(False, "https://example.org/base", "a-b")),
        ("http://[::1]:2024", Address(False, "http://[::1]:2024", "")),
        ("ask+https://example.org/answers", Address(True, "https://example.org/answers", "")),
        ("Ask+HTTP://example.org:80", Address(True, "http://example.org:80", "")),
    ],
)
def test_addresses(spec: str, address: Address) -> None:
    """A URL is a server, `#` names an assistant, `ask+` another askd."""
    assert parsed(spec, ELSEWHERE) == address
    assert resolve(Settings(answerer=spec, port=8080)).kind == ("askd" if address.askd else "langgraph")


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("http://", "it has no host"),
        ("http://:80", "it has no host"),
        ("http://a:b", "the answerer's address is none"),
        ("http://a:99999", "the answerer's address is none"),
        ("http://[::1", "the answerer's address is none"),
        ("http://a b/", "a character that hosts have not"),
        ("http://grüße", "a character that hosts have not"),
        ("http://a/?b=c", "it has a query"),
        ("ask+http://a/ask", "/ask is added by askd itself"),
        ("ask+http://a#b", "an askd has no assistants"),
    ],
)
def test_faults(spec: str, fault: str) -> None:
    """What is no server's URL is refused, with what to give."""
    with pytest.raises(SpecError, match=fault) as caught:
        resolve(Settings(answerer=spec, port=8080))
    assert "ive " in str(caught.value)


def test_password() -> None:
    """A password in the URL is refused, and not shown again."""
    with pytest.raises(SpecError, match="--upstream-key-file") as caught:
        parsed("http://me:secret@example.org", ELSEWHERE)
    assert "secret" not in str(caught.value)


OWN = [
    ("http://localhost:2024", "127.0.0.1"),
    ("http://LOCALHOST.:2024", "127.0.0.1"),
    ("http://app.localhost:2024", "127.0.0.1"),
    ("http://127.0.0.1:2024#agent", "127.0.0.1"),
    ("http://127.1.2.3:2024", "0.0.0.0"),
    ("http://0.0.0.0:2024", "127.0.0.1"),
    ("http://[::]:2024", "127.0.0.1"),
    ("http://[::1]:2024", "::"),
    ("http://[::1]:2024", "127.0.0.1"),
    ("http://[::ffff:127.0.0.1]:2024", "127.0.0.1"),
    ("ask+http://localhost:2024/answers", "localhost"),
    ("http://10.0.0.1:2024", "10.0.0.1"),
    (f"http://{socket.gethostname()}:2024", "0.0.0.0"),
]


@pytest.mark.parametrize(("spec", "host"), OWN)
def test_own_address(spec: str, host: str) -> None:
    """Askd's own address is refused before it listens, with another port to take."""
    with pytest.raises(SpecError, match="that askd itself is to listen on: give askd another, --port 8080"):
        resolve(Settings(answerer=spec, host=host, port=2024))


def test_own_ops_port() -> None:
    """The ops port is askd's own too."""
    with pytest.raises(SpecError, match="--ops-port 8081"):
        parsed("http://localhost:8080", Settings(port=2024, ops_port=8080))
    with pytest.raises(SpecError, match="--port 8080"):
        parsed("http://localhost", Settings(port=80))


@pytest.mark.parametrize(
    ("spec", "host", "port"),
    [
        ("http://localhost:2024", "127.0.0.1", 8080),
        ("http://localhost:2024", "127.0.0.1", 0),
        ("http://localhost:2024", "10.0.0.1", 2024),
        ("http://10.0.0.2:2024", "10.0.0.1", 2024),
        ("http://example.org:2024", "0.0.0.0", 2024),
        ("http://10.0.0.2:2024", "0.0.0.0", 2024),
    ],
)
def test_others(spec: str, host: str, port: int) -> None:
    """Another port or another machine is somebody else."""
    assert parsed(spec, Settings(host=host, port=port)).base == spec


def test_question_length() -> None:
    """A question to a server may be as long as the body limit allows."""
    settings = Settings(answerer="http://localhost:2024", port=8080)
    assert question_max_length(settings, resolve(settings)) == settings.body_max_size


@given(st.text(max_size=30), st.sampled_from(["http://", "https://", "ask+http://"]))
def test_any_url(rest: str, scheme: str) -> None:
    """Whatever follows the scheme, it is an address or refused in words."""
    try:
        said = f"give {parsed(scheme + rest, ELSEWHERE).base}"
    except SpecError as refused:
        said = str(refused)
    assert "give " in said
