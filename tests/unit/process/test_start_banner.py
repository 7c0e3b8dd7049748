"""Start banner of a terminal."""

from askd import __version__
from askd.config import Settings
from askd.process.startup import format_banner


def test_banner_shows_answerer_urls_reload_and_how_to_stop() -> None:
    """The banner has four lines if the expected port is used."""
    assert format_banner(Settings(), "main.py:answer (function)", url="http://localhost:2024").splitlines() == [
        f"askd {__version__} serves main.py:answer (function)",
        "URL:    http://localhost:2024",
        "Docs:   http://localhost:2024/docs",
        "Reload: off. Press Ctrl-C to stop.",
    ]


def test_banner_names_the_holder_of_the_default_port() -> None:
    """A taken default port, an ops port and `--reload` are shown, in five lines."""
    conflict = "port 2024 is in use by nginx (pid 7): using port 2025"
    lines = format_banner(
        Settings(reload=True),
        "main.py:answer (function)",
        url="http://localhost:2025/answers",
        ops_url="http://localhost:9090",
        port_conflict=conflict,
    ).splitlines()
    assert lines[1:] == [
        "URL:    http://localhost:2025/answers (metrics and health checks: http://localhost:9090)",
        f"        {conflict}",
        "Docs:   http://localhost:2025/answers/docs",
        "Reload: on. Press Ctrl-C to stop.",
    ]
