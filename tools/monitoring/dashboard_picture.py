"""docs/pictures/dashboard.png: the dashboard's queries, asked of a real Prometheus after a real load.

It is drawn by matplotlib. Grafana does so more beautifully; this is without one. `make picture`.
"""

import asyncio
import itertools
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tests.rules import prometheus
from tests.rules.board import board, filled, fleet
from tests.rules.dashboard import WIDTH
from tests.rules.prometheus import pause

PICTURE: Final = Path(__file__).parents[2] / "docs" / "pictures" / "dashboard.png"
SECONDS: Final = 90
WINDOW: Final = "10s"
_INK: Final = "#d8d9da"
_GROUND: Final = "#181b1f"
_STYLE: Final = {
    "axes.facecolor": _GROUND,
    "figure.facecolor": "#111217",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.edgecolor": "#3a3d42",
    "grid.color": "#2c3035",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
}
Series = list[tuple[str, list[float], list[float]]]


async def data() -> dict[str, Series]:
    """Run a fleet for a while, and return what each panel shows, by its title; annotations by their names."""
    found = board()
    with tempfile.TemporaryDirectory() as folder:
        async with fleet(Path(folder), rate=16) as server:
            await pause(SECONDS)
            end = time.time()

            async def ask(text: str, name: str) -> Series:
                result = await server.query_range(filled(text, window=WINDOW), end - SECONDS, end, 1)
                return [_series(each, name, end - SECONDS) for each in result]

            panels: dict[str, Series] = {
                panel["title"]: [
                    one for target in panel["targets"] for one in await ask(target["expr"], target["legendFormat"])
                ]
                for panel in found["panels"]
            }
            notes = {note["name"]: await ask(note["expr"], note["name"]) for note in found["annotations"]["list"]}
    return panels | notes


def _series(result: dict[str, Any], name: str, start: float) -> tuple[str, list[float], list[float]]:
    for label, value in result["metric"].items():
        name = name.replace(f"{{{{{label}}}}}", value)
    points = [(float(round(at - start)), float(value)) for at, value in result["values"]]
    return name, [at for at, _ in points], [value for _, value in points]


def draw(shown: dict[str, Series]) -> None:
    """Draw every panel in its place."""
    mpl.rcParams.update(_STYLE)
    panels = board()["panels"]
    depth = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(19.2, 10.8), layout="constrained")
    grid = figure.add_gridspec(depth, WIDTH)
    for panel in panels:
        at = panel["gridPos"]
        axes = figure.add_subplot(grid[at["y"] : at["y"] + at["h"], at["x"] : at["x"] + at["w"]])
        axes.set_title(panel["title"], loc="left")
        _KINDS[panel["type"]](axes, panel, shown[panel["title"]])
        if panel["type"] == "timeseries":
            _notes(axes, shown)
    figure.suptitle("The dashboard's queries after a real load, drawn by matplotlib, not by Grafana", fontsize=10)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=80)


def _lines(axes: Axes, panel: dict[str, Any], series: Series) -> None:
    dashed = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    series = [each for each in series if any(not math.isnan(value) for value in each[2])]
    if stacked:
        times = sorted({at for _, ats, _ in series for at in ats})
        heights = [[dict(zip(ats, values, strict=True)).get(at, 0.0) for at in times] for _, ats, values in series]
        axes.stackplot(times, heights, labels=[name for name, _, _ in series], alpha=0.7)
    else:
        for name, ats, values in series:
            axes.plot(ats, values, label=name, **({"color": "red", "linestyle": "--"} if name in dashed else {}))
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, SECONDS)
    axes.grid(visible=True)
    axes.legend(loc="upper left", ncols=3, fontsize=6, framealpha=0.4)


def _heat(axes: Axes, panel: dict[str, Any], series: Series) -> None:
    """Draw how many fell into each bucket: cumulative ones, each less the one before."""
    rows = sorted((float(name), dict(zip(ats, values, strict=True))) for name, ats, values in series)
    times = list(range(SECONDS + 1))
    heat = [[rows[0][1].get(at, 0.0) for at in times]]
    for (_, below), (_, above) in itertools.pairwise(rows):
        heat.append([above.get(at, 0.0) - below.get(at, 0.0) for at in times])
    axes.pcolormesh(times, range(len(rows)), heat, cmap="inferno", shading="nearest")
    axes.set_yticks(range(len(rows)), [f"{edge:g}" for edge, _ in rows], fontsize=6)
    objective = [number for number, (edge, _) in enumerate(rows) if f"{edge:g} s" in panel["description"]]
    axes.axhline(objective[0] + 0.5, color="red", linestyle="--")


def _stat(axes: Axes, panel: dict[str, Any], series: Series) -> None:
    values = [value for _, _, values in series for value in values[-1:]]
    percent = panel["fieldConfig"]["defaults"]["unit"] == "percentunit"
    text = (f"{values[0]:.0%}" if percent else f"{values[0]:.3g}") if values else "-"
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colour = [step["color"] for step in steps if not values or step["value"] is None or values[0] >= step["value"]][-1]
    axes.text(0.5, 0.45, text, fontsize=22, color=colour, ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _notes(axes: Axes, shown: dict[str, Series]) -> None:
    """Draw a line where an annotation begins."""
    for note in board()["annotations"]["list"]:
        for _, ats, _ in shown[note["name"]]:
            axes.axvline(ats[0], color=note["iconColor"], linewidth=0.8, alpha=0.7)


_KINDS: Final = {"timeseries": _lines, "heatmap": _heat, "stat": _stat}

if __name__ == "__main__":
    if prometheus.PROGRAM is None:
        sys.exit("skipped: make picture, prometheus is not installed (Debian: apt-get install prometheus)")
    draw(asyncio.run(data()))
