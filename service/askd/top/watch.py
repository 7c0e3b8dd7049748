"""Periodic scrapes of servers, and the screen that shows them."""

import contextlib
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from yarl import URL

from askd.client import errors
from askd.client.errors import EXIT_UNREACHABLE, RequestFailed
from askd.client.http_client import Session
from askd.client.target import ServerTarget
from askd.top.metrics_delta import MetricsDelta, MetricsSnapshot, compute_delta, parse_snapshot
from askd.top.view import HISTORY_LENGTH, ServerStatus, fit_to_screen, render_panel, render_row, table_header

METRICS_PATH: Final = "/metrics"
SCRAPE_TIMEOUT: Final = 5.0
"""Seconds for a scrape."""
REFRESH_TIMEOUT: Final = 1.0
"""Seconds for which the display waits for slow servers before it is refreshed without them."""
CURSOR_HOME: Final = "\x1b[H"
CLEAR_SCREEN: Final = "\x1b[2J"
_CLEAR_TO_LINE_END: Final = "\x1b[K"
_CLEAR_BELOW: Final = "\x1b[J"


class WatchedServer:
    """A server with its last status and the history of its rates. Raises ValueError if the CA file cannot be used."""

    def __init__(self, url: URL, ca_file: str | None = None) -> None:
        path = url.path.rstrip("/")
        self._url = url.with_path(path if path.endswith(METRICS_PATH) else path + METRICS_PATH)
        self._session = Session(ServerTarget(url, ca_file=ca_file, timeout=SCRAPE_TIMEOUT))
        self.status = ServerStatus(str(url).rstrip("/"))
        self.history: deque[MetricsDelta] = deque(maxlen=HISTORY_LENGTH)
        self._last_snapshot: MetricsSnapshot | None = None
        self._thread: threading.Thread | None = None

    def start_scrape(self) -> None:
        """Start a scrape in a thread that does not keep the process alive, unless one is in progress."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._scrape, name="askd-top-scrape", daemon=True)
            self._thread.start()

    def wait_until(self, deadline_at: float) -> None:
        """Wait for the scrape until a monotonic time. The status is an error if it takes longer; it continues."""
        if self._thread is not None:
            self._thread.join(max(deadline_at - time.monotonic(), 0.0))
            if self._thread.is_alive():
                self.status = ServerStatus(self.status.name, error="waiting: no response yet")

    def _scrape(self) -> None:
        """Scrape once and update the status. After a failure, rates are relative to the last successful scrape."""
        name = self.status.name
        try:
            snapshot = self._fetch_snapshot()
        except RequestFailed as error:
            self.status = ServerStatus(name, error=f"{error.step}: {error.error}")
            return
        delta = compute_delta(self._last_snapshot, snapshot) if self._last_snapshot else None
        self._last_snapshot = snapshot
        if delta:
            self.history.append(delta)
        self.status = ServerStatus(name, snapshot, delta)

    def _fetch_snapshot(self) -> MetricsSnapshot:
        response = self._session.send("GET", self._url, {})
        body = response.read()
        if response.status != 200:
            raise errors.unexpected_response(response.status, f"status {response.status} at {self._url}")
        try:
            return parse_snapshot(body.decode(), time.monotonic())
        except ValueError as error:
            reason = str(error) if "askd" in str(error) else f"no metrics at {self._url}"
            raise errors.unexpected_response(200, reason) from None


def _scrape_periodically(servers: Sequence[WatchedServer], interval: float, scrape_timeout: float) -> Iterator[None]:
    """Scrape all servers at once, yield after at most `scrape_timeout` seconds, wait for `interval`, and repeat."""
    while True:
        for server in servers:
            server.start_scrape()
        deadline_at = time.monotonic() + scrape_timeout
        for server in servers:
            server.wait_until(deadline_at)
        yield
        time.sleep(interval)


def print_once(servers: Sequence[WatchedServer], interval: float) -> int:
    """Scrape twice, and print the rates of the interval in between. Returns the exit code."""
    scrapes = _scrape_periodically(servers, interval, SCRAPE_TIMEOUT * 2)
    next(scrapes)
    next(scrapes)
    print("\n".join(render_table(servers)))  # noqa: T201 - the output of the command
    return 0 if any(server.status.snapshot for server in servers) else EXIT_UNREACHABLE


def print_continuously(servers: Sequence[WatchedServer], interval: float) -> int:
    """Print after each scrape until Ctrl-C: the screen on a terminal, otherwise lines. Returns the exit code."""
    terminal, prefix = sys.stdout.isatty(), CLEAR_SCREEN
    with contextlib.suppress(KeyboardInterrupt):
        for number, _ in enumerate(_scrape_periodically(servers, interval, REFRESH_TIMEOUT)):
            if terminal:
                text = prefix + render_screen(servers, *shutil.get_terminal_size())
                prefix = ""
            else:
                header, *rows = render_table(servers)  # rates need two scrapes
                text = "".join(f"{line}\n" for line in (rows if number else [header]))
            sys.stdout.write(text)
            sys.stdout.flush()
    if terminal:
        print()  # noqa: T201 - puts the shell's prompt below the display
    return 0


def render_screen(servers: Sequence[WatchedServer], columns: int, rows: int) -> str:
    """Return the screen for a terminal of this size: the panel of one server, or a row for each of several."""
    lines = [*render_panel(servers[0].status, servers[0].history)] if len(servers) == 1 else render_table(servers)
    shown = fit_to_screen(lines, columns - 1, rows - 1)  # text in the last column or row would scroll the screen
    return CURSOR_HOME + "".join(f"{line}{_CLEAR_TO_LINE_END}\n" for line in shown) + _CLEAR_BELOW


def render_table(servers: Sequence[WatchedServer]) -> list[str]:
    """Return the header, and a row for each server."""
    return [table_header(), *(render_row(server.status) for server in servers)]
