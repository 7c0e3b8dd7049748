"""Prometheus with the rules beside a local askd and a light load, until Ctrl-C. `make observe`."""

import asyncio
import contextlib
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from tests.figures.plan import Plan
from tests.figures.server import running
from tests.rules import prometheus
from tests.rules.files import rules
from tests.rules.load import load
from tests.rules.parameters import Parameters

PORT: Final = 9090
EXPRESSIONS: Final = (
    'sum by (code) (rate(askd_requests_total{route="/ask"}[30s]))',
    "histogram_quantile(0.99, sum by (le) (rate(askd_request_duration_seconds_bucket[30s])))",
    "job:askd_errors:ratio_rate5m",
)


async def main(spec: list[str]) -> None:
    """Serve what the command line names, or the built-in book."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "prometheus").mkdir()
        where = prometheus.running(folder / "prometheus", rules(Parameters()), every="5s", port=_port())
        async with running(Plan(folder=folder), "serve", *spec) as askd, load(askd.port, rate=5), where as server:
            server.targets({"askd": askd.ops_port})
            _tell(server.url, askd.port)
            await asyncio.Event().wait()


def _tell(url: str, port: int) -> None:
    """Say where everything is, and open it where there is a browser."""
    graph = f"{url}/query?{urlencode([(f'g{number}.expr', each) for number, each in enumerate(EXPRESSIONS)])}"
    for name, address in (
        ("askd", f"http://127.0.0.1:{port}"),
        ("graphs", graph),
        ("alerts", f"{url}/alerts"),
        ("rules", f"{url}/rules"),
    ):
        sys.stdout.write(f"{name:<8}{address}\n")
    sys.stdout.write("dashboard for a Grafana with this Prometheus: k8s/prometheus/dashboard.json. Ctrl-C ends it.\n")
    sys.stdout.flush()
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(graph)


def _port() -> int:
    """Return Prometheus' own port where it is free, else another."""
    with contextlib.suppress(OSError):
        return prometheus.free_port(PORT)
    return prometheus.free_port()


def _absolute(argument: str) -> str:
    """Return a file's place from anywhere, with what stands behind it: `main.py:answer`."""
    path, colon, rest = argument.partition(":")
    return f"{Path(path).resolve()}{colon}{rest}" if Path(path).exists() else argument


if __name__ == "__main__":
    if prometheus.PROGRAM is None:
        sys.stdout.write("skipped: make observe, prometheus is not installed (Debian: apt-get install prometheus)\n")
        sys.exit(0)
    prometheus.until_told(main([_absolute(each) for each in sys.argv[1:]]))
