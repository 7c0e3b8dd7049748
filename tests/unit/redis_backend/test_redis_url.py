"""Redis as it is configured: the URL, the package, and what of both is told."""

import subprocess
import sys

import pytest

from service.app import create_app
from service.check import report
from service.errors import StartupError
from service.settings import Settings
from service.shared.redis import Redis, sha, shown

FAULTY = [
    "localhost:6379",
    "http://host",
    "redis://",
    "redis://:s3cret@host:99999/0",
    "redis://host/cache",
    "redis://host?frobnicate=1",
    "redis://host?db=x",
    "redis://host:port",
]


@pytest.mark.parametrize("url", FAULTY)
def test_a_faulty_url_stops_the_start(url: str) -> None:
    """The start, and the check, end with what would be right; the value is not shown, for it may hold a password."""
    settings = Settings(redis_url=url)
    for start in (lambda: Redis(url, []), lambda: create_app(settings), lambda: report(settings)):
        with pytest.raises(StartupError, match=r"--redis-url is no URL of a Redis: give one such as redis://") as fault:
            start()
        assert "s3cret" not in str(fault.value)


@pytest.mark.parametrize(
    "url", ["redis://host", "redis://:p@host:6380/3", "rediss://u:p@[::1]/1", "unix:///run/r.sock"]
)
def test_a_good_url(url: str) -> None:
    """Host, user, password, database, TLS and Unix sockets are taken; no connection is made."""
    Redis(url, [])


def test_the_package_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the start ends, and says how to install it."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(StartupError, match=r"pip install 'askd\[redis\]'"):
        Redis("redis://host", [])


def test_the_package_is_imported_only_where_it_is_configured() -> None:
    """A server without Redis neither needs the package nor waits for its import."""
    code = (
        "import sys; from service.app import create_app; from service.settings import Settings;"
        "create_app(Settings(rate=None)); sys.exit('redis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_shown_has_no_secrets() -> None:
    """Neither user, password nor options."""
    assert shown("rediss://u:p@host:1/2?password=x") == "rediss://host:1/2"
    assert shown("unix:///run/r.sock?password=x") == "unix:///run/r.sock"


def test_the_name_of_a_script() -> None:
    """As Redis makes it: SHA-1, in hex."""
    assert sha("return 1") == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
