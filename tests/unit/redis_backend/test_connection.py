"""Redis configuration: the URL, the optional package, and redaction of secrets."""

import subprocess
import sys

import pytest

from askd.app import create_app
from askd.cli.check_report import build_report
from askd.config import Settings
from askd.errors import StartupError
from askd.redis_backend.connection import RedisConnection, redact_url, script_sha

INVALID_URLS = [
    "localhost:6379",
    "http://host",
    "redis://",
    "redis://:s3cret@host:99999/0",
    "redis://host/cache",
    "redis://host?frobnicate=1",
    "redis://host?db=x",
    "redis://host:port",
]


@pytest.mark.parametrize("url", INVALID_URLS)
def test_invalid_url(url: str) -> None:
    """Start and `askd check` fail with examples of valid URLs, without the value, which may contain a password."""
    settings = Settings(redis_url=url)
    for start in (lambda: RedisConnection(url, []), lambda: create_app(settings), lambda: build_report(settings)):
        with pytest.raises(StartupError, match=r"invalid --redis-url: expected redis://host:6379/0") as raised:
            start()
        assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["redis://host", "redis://:p@host:6380/3", "rediss://u:p@[::1]/1", "unix:///run/r.sock"]
)
def test_valid_url(url: str) -> None:
    """Host, user, password, database, TLS and Unix sockets are valid; no connection is opened."""
    RedisConnection(url, [])


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the redis package, the error shows how to install it."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(StartupError, match=r'pip install "askd\[redis\]"'):
        RedisConnection("redis://host", [])


def test_package_is_imported_only_if_configured() -> None:
    """A server without Redis does not import the redis package."""
    code = (
        "import sys; from askd.app import create_app; from askd.config import Settings;"
        "create_app(Settings(rate_limit=None)); sys.exit('redis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_redact_url() -> None:
    """User, password and options are removed."""
    assert redact_url("rediss://u:p@host:1/2?password=x") == "rediss://host:1/2"
    assert redact_url("unix:///run/r.sock?password=x") == "unix:///run/r.sock"


def test_script_sha() -> None:
    """A script is identified by its SHA-1, as Redis computes it."""
    assert script_sha("return 1") == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
