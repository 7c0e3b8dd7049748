"""Cost of observability: askd as it is, without the access log, and without request ids and metrics as well."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.compare import measure, report, wrk
from benchmarks.compare.servers import ASKD, FOLDER, RunningServer

AIM: Final = 1.2
"""Maximum CPU time of a request, as a multiple of that without observability."""
ASKD_WITHOUT_LOG: Final = dataclasses.replace(ASKD, name="askd, no log lines", environ={"ASKD_LOG_LEVEL": "error"})
ASKD_WITHOUT_METRICS: Final = dataclasses.replace(
    ASKD_WITHOUT_LOG,
    name="askd, no ids and metrics either",
    command=ASKD.command.replace("-m askd", f"{FOLDER}/askd_without_ids_and_metrics.py"),
)


def run(plan: measure.Plan) -> dict[str, list[wrk.Sample]]:
    """Measure the three variants, alternately."""
    with measure.running_servers([ASKD, ASKD_WITHOUT_LOG, ASKD_WITHOUT_METRICS], plan) as processes:
        samples = measure.run_alternately(
            {process.server.name: functools.partial(measure.measure_load, process, plan) for process in processes}, plan
        )
        _check_nothing_counted(processes[-1])
    return samples


def lines(samples: Mapping[str, Sequence[wrk.Sample]]) -> list[str]:
    """Return the table of CPU times, of the best round of each variant: other load on the machine only adds to it."""
    rows, best = [], {name: min(run.cpu for run in runs) for name, runs in samples.items()}
    for name, runs in samples.items():
        ratio, median = best[ASKD.name] / best[name], wrk.median(runs)
        aim = report.verdict(f"≤ {AIM:g}", met=ratio <= AIM) if name == ASKD_WITHOUT_METRICS.name else ""
        difference = (best[ASKD.name] - best[name]) * 1e6
        rows.append([name, f"{best[name] * 1e6:.1f}", f"{difference:.1f}", f"{ratio:.2f}", aim, str(median.failures)])
    head = ("server", "CPU µs per request", "askd − variant", "askd ÷ variant", "aim", "failures")
    return ["## Metrics, ids and log lines", "", *report.table(head, rows)]


def _check_nothing_counted(process: RunningServer) -> None:
    """Check that the server uses constant request ids and counts no request. Raises RuntimeError otherwise."""
    ids = {process.ask()[1]["X-Request-Id"] for _ in "12"}
    counted = re.findall(
        rb"^http_server_request_duration_seconds_count.* (?!0\.0$).*",
        process.ask(url=f"{process.ops_url}/metrics")[2],
        re.MULTILINE,
    )
    if counted or len(ids) != 1:
        raise RuntimeError(f"{process.server.name} counted {counted} and generated the ids {ids}, expected nothing")
