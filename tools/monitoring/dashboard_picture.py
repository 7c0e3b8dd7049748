"""`make dashboard-picture`: draw docs/pictures/dashboard.png from the dashboard's queries.

The data come from a real Prometheus after a real load. The picture is drawn by matplotlib, so Grafana is not needed.
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

from tools.monitoring import prometheus_server
from tools.monitoring.dashboard import WIDTH
from tools.monitoring.dashboard_expressions import fill_variables, read_dashboard
from tools.monitoring.loaded_fleet import loaded_fleet
from tools.monitoring.parameters import Parameters
from tools.monitoring.prometheus_server import pause

PICTURE: Final = Path(__file__).parents[2] / "docs" / "pictures" / "dashboard.png"
DURATION: Final = 90
WINDOW: Final = "10s"
_TEXT_COLOUR: Final = "#d8d9da"
_PANEL_COLOUR: Final = "#181b1f"
_STYLE: Final = {
    "axes.facecolor": _PANEL_COLOUR,
    "figure.facecolor": "#111217",
    "text.color": _TEXT_COLOUR,
    "axes.labelcolor": _TEXT_COLOUR,
    "xtick.color": _TEXT_COLOUR,
    "ytick.color": _TEXT_COLOUR,
    "axes.edgecolor": "#3a3d42",
    "grid.color": "#2c3035",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
}
Series = list[tuple[str, list[float], list[float]]]


async def query_panels() -> dict[str, Series]:
    """Run a fleet under load; return the series of each panel by title, and of each annotation by name."""
    dashboard = read_dashboard()
    with tempfile.TemporaryDirectory() as folder:
        async with loaded_fleet(Path(folder), rate=16) as server:
            await pause(DURATION)
            end = time.time()

            async def query(expression: str, name: str) -> Series:
                filled = fill_variables(expression, window=WINDOW)
                result = await server.query_range(filled, end - DURATION, end, 1)
                return [_series(series, name, end - DURATION) for series in result]

            panels: dict[str, Series] = {
                panel["title"]: [
                    series
                    for target in panel["targets"]
                    for series in await query(target["expr"], target["legendFormat"])
                ]
                for panel in dashboard["panels"]
            }
            annotations = {
                annotation["name"]: await query(annotation["expr"], annotation["name"])
                for annotation in dashboard["annotations"]["list"]
            }
    return panels | annotations


def _series(result: dict[str, Any], name: str, start: float) -> tuple[str, list[float], list[float]]:
    for label, value in result["metric"].items():
        name = name.replace(f"{{{{{label}}}}}", value)
    points = [(float(round(time - start)), float(value)) for time, value in result["values"]]
    return name, [time for time, _ in points], [value for _, value in points]


def draw(series_by_title: dict[str, Series]) -> None:
    """Draw all panels at their positions."""
    mpl.rcParams.update(_STYLE)
    panels = read_dashboard()["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(19.2, 10.8), layout="constrained")
    grid = figure.add_gridspec(rows, WIDTH)
    for panel in panels:
        x, y, width, height = (panel["gridPos"][key] for key in "xywh")
        axes = figure.add_subplot(grid[y : y + height, x : x + width])
        axes.set_title(panel["title"], loc="left")
        _DRAW_BY_TYPE[panel["type"]](axes, panel, series_by_title[panel["title"]])
        if panel["type"] == "timeseries":
            _draw_annotations(axes, series_by_title)
    figure.suptitle("The dashboard's queries after a real load, drawn by matplotlib, not by Grafana", fontsize=10)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=80)


def _draw_lines(axes: Axes, panel: dict[str, Any], series: Series) -> None:
    dashed = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    series = [line for line in series if any(not math.isnan(value) for value in line[2])]
    if stacked:
        times = sorted({at for _, line_times, _ in series for at in line_times})
        heights = [
            [dict(zip(line_times, values, strict=True)).get(at, 0.0) for at in times]
            for _, line_times, values in series
        ]
        axes.stackplot(times, heights, labels=[name for name, _, _ in series], alpha=0.7)
    else:
        for name, line_times, values in series:
            axes.plot(line_times, values, label=name, **({"color": "red", "linestyle": "--"} if name in dashed else {}))
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, DURATION)
    axes.grid(visible=True)
    axes.legend(loc="upper left", ncols=3, fontsize=6, framealpha=0.4)


def _draw_heatmap(axes: Axes, _panel: dict[str, Any], series: Series) -> None:
    """Draw the number of observations per bucket: cumulative counts minus those of the bucket before."""
    rows = sorted((float(name), dict(zip(bucket_times, values, strict=True))) for name, bucket_times, values in series)
    times = list(range(DURATION + 1))
    heat = [[rows[0][1].get(at, 0.0) for at in times]]
    for (_, below), (_, above) in itertools.pairwise(rows):
        heat.append([above.get(at, 0.0) - below.get(at, 0.0) for at in times])
    axes.pcolormesh(times, range(len(rows)), heat, cmap="inferno", shading="nearest")
    axes.set_yticks(range(len(rows)), [f"{bound:g}" for bound, _ in rows], fontsize=6)
    objective = [bound for bound, _ in rows].index(float(Parameters().threshold))
    axes.axhline(objective + 0.5, color="red", linestyle="--")


def _draw_stat(axes: Axes, panel: dict[str, Any], series: Series) -> None:
    values = [value for _, _, values in series for value in values[-1:]]
    percent = panel["fieldConfig"]["defaults"]["unit"] == "percentunit"
    text = (f"{values[0]:.0%}" if percent else f"{values[0]:.3g}") if values else "-"
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colour = [step["color"] for step in steps if not values or step["value"] is None or values[0] >= step["value"]][-1]
    axes.text(0.5, 0.45, text, fontsize=22, color=colour, ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_annotations(axes: Axes, series_by_title: dict[str, Series]) -> None:
    """Draw a line at the beginning of each annotation."""
    for annotation in read_dashboard()["annotations"]["list"]:
        for _, times, _ in series_by_title[annotation["name"]]:
            axes.axvline(times[0], color=annotation["iconColor"], linewidth=0.8, alpha=0.7)


_DRAW_BY_TYPE: Final = {"timeseries": _draw_lines, "heatmap": _draw_heatmap, "stat": _draw_stat}

if __name__ == "__main__":
    if prometheus_server.PROMETHEUS_BINARY is None:
        sys.exit("skipped: make dashboard-picture: prometheus is not installed (Debian: apt-get install prometheus)")
    draw(asyncio.run(query_panels()))
