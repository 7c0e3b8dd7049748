"""What it costs to observe: the exchange as it is, without its log line, and without ids and metrics as well."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from . import load, measure, report
from .servers import ASKD, PEERS, Running

AIM: Final = 1.2
"""CPU time of an answer as a multiple of one of which nothing is observed, at most."""
SILENT: Final = dataclasses.replace(ASKD, name="askd, no log lines", environ={"ASKD_LOG_LEVEL": "error"})
UNOBSERVED: Final = dataclasses.replace(
    SILENT, name="askd, no ids and metrics either", command=ASKD.command.replace("-m service", f"{PEERS}/unobserved.py")
)


def run(plan: measure.Plan) -> dict[str, list[load.Sample]]:
    """Load the three in turns."""
    with measure.started([ASKD, SILENT, UNOBSERVED], plan) as processes:
        samples = measure.turns(
            {each.server.name: functools.partial(measure.loaded, each, plan) for each in processes}, plan
        )
        _prove(processes[-1])
    return samples


def lines(samples: Mapping[str, Sequence[load.Sample]]) -> list[str]:
    """Table of CPU time, of each server's best turn: what else a machine does only adds to it."""
    rows, least = [], {name: min(run.cpu for run in runs) for name, runs in samples.items()}
    for name, runs in samples.items():
        ratio, each = least[ASKD.name] / least[name], load.median(runs)
        aim = report.verdict(f"≤ {AIM:g}", met=ratio <= AIM) if name == UNOBSERVED.name else ""
        more = (least[ASKD.name] - least[name]) * 1e6
        rows.append([name, f"{least[name] * 1e6:.1f}", f"{more:.1f}", f"{ratio:.2f}", aim, str(each.failures)])
    head = ("server", "CPU µs each", "askd − it", "askd ÷ it", "aim", "failures")
    return ["## Metrics, ids and log lines", "", *report.table(head, rows)]


def _prove(process: Running) -> None:
    """Make sure that the server has observed nothing. Raises RuntimeError."""
    ids = {process.ask()[1]["X-Request-Id"] for _ in "12"}
    counted = re.findall(
        rb"^askd_requests_total.* (?!0\.0$).*", process.ask(url=f"{process.ops}/metrics")[2], re.MULTILINE
    )
    if counted or len(ids) != 1:
        raise RuntimeError(f"{process.server.name} has counted {counted} and made the ids {ids}, expected nothing")
