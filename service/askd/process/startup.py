"""Start of a server process or a supervisor: its listening sockets, and the banner that a terminal shows."""

import structlog

from askd import __version__
from askd.api.served_answerers import ServedAnswerers
from askd.config import Settings
from askd.config.server import DEFAULT_PORT
from askd.httpserver import sockets
from askd.telemetry.log_stream import log_stream

_log = structlog.get_logger("askd")


def open_configured_listeners(settings: Settings) -> sockets.Listeners:
    """Open the listening sockets, and log if the default port is taken. Raises ListenError."""
    listeners = sockets.open_listeners(settings.host, settings.port, settings.ops_port, default_port=DEFAULT_PORT)
    if listeners.port_conflict and not log_stream.is_terminal:  # on a terminal, the banner shows it
        _log.warning("port_in_use", detail=listeners.port_conflict, hint="pass --port to choose one")
    return listeners


def format_banner(
    settings: Settings, served: str, *, url: str, ops_url: str | None = None, port_conflict: str = ""
) -> str:
    """Return the banner, at most five lines, which replaces the events `listening` and `ready` on a terminal.

    Args:
        settings: The settings in force.
        served: The answerers that are served.
        url: Base URL, with the port that is used.
        ops_url: URL of the ops port, or None if the main port serves the ops endpoints.
        port_conflict: Sentence that names the holder of the default port. Empty if that port was free.
    """
    ops = f" (metrics and health checks: {ops_url})" if ops_url else ""
    lines = [
        f"askd {__version__} serves {served}",
        f"URL:    {url}{ops}",
        f"        {port_conflict}",
        f"Docs:   {url}/docs",
        f"Reload: {'on' if settings.reload else 'off'}. Press Ctrl-C to stop.",
    ]
    return "\n".join(line for line in lines if line.strip())


def describe_answerers(answerers: ServedAnswerers) -> str:
    """Return `main.py:answer (function)`, or the paths of several."""
    if len(answerers) == 1:
        return f"{answerers[0].answerer.name} ({answerers[0].answerer.kind})"
    default = f" ({answerers.default.name} is at /ask)" if answerers.default else ""
    return ", ".join(served.path for served in answerers) + default
