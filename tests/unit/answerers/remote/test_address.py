"""Tests of upstream URLs: parsing, validation, and the rejection of askd's own address."""

import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.answerers.registry import create_answerer
from askd.answerers.remote import RemoteAddress
from askd.answerers.remote.address import parse_address
from askd.config import Settings
from askd.errors import SpecError

SETTINGS = Settings(port=8080)


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ("http://localhost:2024", RemoteAddress(False, "http://localhost:2024", "")),
        ("http://localhost:2024/", RemoteAddress(False, "http://localhost:2024", "")),
        ("HTTP://example.org#agent", RemoteAddress(False, "http://example.org", "agent")),
        ("https://example.org/base/#a-b", RemoteAddress(False, "https://example.org/base", "a-b")),
        ("http://[::1]:2024", RemoteAddress(False, "http://[::1]:2024", "")),
        ("ask+https://example.org/answers", RemoteAddress(True, "https://example.org/answers", "")),
        ("Ask+HTTP://example.org:80", RemoteAddress(True, "http://example.org:80", "")),
    ],
)
def test_valid_urls(spec: str, address: RemoteAddress) -> None:
    """A URL selects a LangGraph server, its fragment an assistant, and `ask+` another askd."""
    assert parse_address(spec, SETTINGS) == address
    assert create_answerer(Settings(answerer=spec, port=8080)).kind == ("askd" if address.is_askd else "langgraph")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("http://", "the host is missing"),
        ("http://:80", "the host is missing"),
        ("http://a:b", "invalid upstream URL: Port could not be cast"),
        ("http://a:99999", "invalid upstream URL: Port out of range"),
        ("http://[::1", "invalid upstream URL: Invalid IPv6"),
        ("http://a b/", "the host contains an invalid character"),
        ("http://grüße", "the host contains an invalid character"),
        ("http://a/?b=c", "a query is not allowed"),
        ("ask+http://a/ask", "remove /ask"),
    ],
)
def test_invalid_urls(spec: str, reason: str) -> None:
    """Invalid URLs are rejected with the reason and a hint."""
    with pytest.raises(SpecError, match=reason) as caught:
        create_answerer(Settings(answerer=spec, port=8080))
    assert "give http://host:port" in str(caught.value)


def test_credentials_in_url() -> None:
    """Credentials in the URL are rejected and not part of the error message."""
    with pytest.raises(SpecError, match="--upstream-api-key-file") as caught:
        parse_address("http://me:secret@example.org", SETTINGS)
    assert "secret" not in str(caught.value)


OWN_ADDRESSES = [
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


@pytest.mark.parametrize(("spec", "host"), OWN_ADDRESSES)
def test_own_address(spec: str, host: str) -> None:
    """The address that askd listens on is rejected, with another port as a hint."""
    with pytest.raises(SpecError, match="that askd itself listens on: choose another port with --port 8080"):
        create_answerer(Settings(answerer=spec, host=host, port=2024))


def test_own_ops_port() -> None:
    """The address of the ops port is rejected too."""
    with pytest.raises(SpecError, match="--ops-port 8081"):
        parse_address("http://localhost:8080", Settings(port=2024, ops_port=8080))
    with pytest.raises(SpecError, match="--port 8080"):
        parse_address("http://localhost", Settings(port=80))


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
def test_other_addresses(spec: str, host: str, port: int) -> None:
    """Addresses with another port or another host are accepted."""
    assert parse_address(spec, Settings(host=host, port=port)).base_url == spec


def test_question_max_length() -> None:
    """A question to a remote answerer may be as long as the body limit."""
    settings = Settings(answerer="http://localhost:2024", port=8080)
    assert settings.effective_question_max_length(create_answerer(settings).kind) == settings.body_max_size


@given(st.text(max_size=30), st.sampled_from(["http://", "https://", "ask+http://"]))
def test_arbitrary_urls(rest: str, scheme: str) -> None:
    """Any text after the scheme is either accepted or rejected with a hint."""
    try:
        parse_address(scheme + rest, SETTINGS)
    except SpecError as error:
        assert re.search("give |choose ", str(error))  # noqa: PT017 - only some texts are rejected
