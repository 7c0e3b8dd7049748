"""`askd top --once`, against an app in this process."""

import pytest

from askd.cli.main import main
from tests.support.fakes import UppercaseAnswerer
from tests.support.log_capture import LogCapture
from tests.support.threaded_server import ThreadedServer


def test_once_prints_a_row_for_each_server(capsys: pytest.CaptureFixture[str]) -> None:
    """Available and unavailable servers have a row; the exit code is 3 if none is available."""
    with LogCapture(), ThreadedServer(UppercaseAnswerer()) as url:
        assert main(["top", url, "http://nosuch.invalid", "--once", "--interval", "100ms"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0].split()[0], len(lines)) == ("server", 3)
    assert "nosuch.invalid does not resolve" in lines[2]
    assert main(["top", "http://nosuch.invalid", "--once", "--interval", "100ms"]) == 3
    assert main(["top", "http://a", "--interval", "0"]) == 2
