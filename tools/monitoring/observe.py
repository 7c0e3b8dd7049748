"""`make observe`: run Prometheus with the rules, a local askd and a light load until Ctrl-C."""

import asyncio
import contextlib
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from benchmarks.load.askd_process import running_askd
from benchmarks.load.run_options import RunOptions
from tools.monitoring import prometheus_server
from tools.monitoring.background_load import background_load
from tools.monitoring.generated_files import render_rules
from tools.monitoring.parameters import Parameters
from tools.monitoring.recording_rules import ASK_ROUTE, REQUEST_DURATION

PORT: Final = 9090
EXPRESSIONS: Final = (
    f"sum by (http_response_status_code) (rate({REQUEST_DURATION}_count{{{ASK_ROUTE}}}[30s]))",
    f"histogram_quantile(0.99, sum by (le) (rate({REQUEST_DURATION}_bucket[30s])))",
    "job:askd_errors:ratio_rate5m",
)


async def main(spec: list[str]) -> None:
    """Serve the given answerer, or the built-in book."""
    with tempfile.TemporaryDirectory() as temporary_folder:
        folder = Path(temporary_folder)
        (folder / "prometheus").mkdir()
        prometheus = prometheus_server.running_prometheus(
            folder / "prometheus", render_rules(Parameters()), scrape_interval="5s", port=_choose_port()
        )
        async with (
            running_askd(RunOptions(folder=folder), "serve", *spec) as askd,
            background_load(askd.port, rate=5),
            prometheus as server,
        ):
            server.set_targets({"askd": askd.ops_port})
            _print_addresses(server.url, askd.port)
            await asyncio.Event().wait()


def _print_addresses(url: str, port: int) -> None:
    """Print the addresses, and open the graphs if there is a browser."""
    graph = f"{url}/query?{urlencode([(f'g{number}.expr', expr) for number, expr in enumerate(EXPRESSIONS)])}"
    for name, address in (
        ("askd", f"http://127.0.0.1:{port}"),
        ("graphs", graph),
        ("alerts", f"{url}/alerts"),
        ("rules", f"{url}/rules"),
    ):
        sys.stdout.write(f"{name:<8}{address}\n")
    sys.stdout.write("Dashboard for Grafana: k8s/prometheus/dashboard.json. Press Ctrl-C to stop.\n")
    sys.stdout.flush()
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(graph)


def _choose_port() -> int:
    """Return Prometheus' default port if it is free, otherwise another."""
    with contextlib.suppress(OSError):
        return prometheus_server.free_port(PORT)
    return prometheus_server.free_port()


def _absolute_spec(argument: str) -> str:
    """Return the spec with an absolute path if it names a file, as in `main.py:answer`."""
    path, colon, rest = argument.partition(":")
    return f"{Path(path).resolve()}{colon}{rest}" if Path(path).exists() else argument


if __name__ == "__main__":
    if prometheus_server.PROMETHEUS_BINARY is None:
        sys.stdout.write("skipped: make observe, prometheus is not installed (Debian: apt-get install prometheus)\n")
        sys.exit(0)
    prometheus_server.run_until_interrupted(main([_absolute_spec(argument) for argument in sys.argv[1:]]))
