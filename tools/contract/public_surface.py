"""The public surface of askd: names of settings, metrics with their labels, and the OpenAPI document."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from askd import __version__
from askd.client.in_process_server import serve_in_process
from askd.config import Settings, unknown_variables
from askd.config.environment import variable_name

RELEASED_FILE: Final = Path(__file__).parents[2] / "tests" / "contract" / "released.json"
METRIC_PREFIXES: Final = ("askd_", "http_server_")
DEPRECATED_PREFIX: Final = "Deprecated"
"""Start of the help text of a metric that will be removed in the next minor release."""


async def current_surface() -> dict[str, Any]:
    """Return the current surface: that of an app with default settings, which serves the built-in book."""
    async with serve_in_process(Settings()) as url, ClientSession() as client:
        async with client.get(f"{url}/ask", params={"q": "hello"}) as response:
            await response.read()
        async with client.get(f"{url}/metrics", headers={"Accept": "text/plain"}) as response:
            scrape = await response.text()
        async with client.get(f"{url}/openapi.json") as response:
            document = await response.json()
    settings = sorted(variable_name(field.name) for field in dataclasses.fields(Settings))
    return {"version": __version__, "settings": settings, "metrics": parse_metrics(scrape), "openapi": document}


def parse_metrics(scrape: str) -> dict[str, dict[str, Any]]:
    """Parse the metrics of askd in a scrape, by the name that a query uses."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            "type": family.type,
            "labels": _labels(family.samples),
            "deprecated": family.documentation.startswith(DEPRECATED_PREFIX),
        }
        for family in text_string_to_metric_families(scrape)
        if family.name.startswith(METRIC_PREFIXES) and not family.name.endswith("_created")
    }


def without_deprecated(surface: Mapping[str, Any]) -> dict[str, Any]:
    """Return the surface without deprecated metrics: that part must stay compatible."""
    metrics = {
        name: {"type": metric["type"], "labels": metric["labels"]}
        for name, metric in surface["metrics"].items()
        if not metric["deprecated"]
    }
    return {**surface, "metrics": metrics}


def is_setting(variable: str) -> bool:
    """Whether a variable has an effect: it is a setting or the alias of one."""
    return not unknown_variables({variable: "1"})


def released_surface() -> dict[str, Any]:
    """Read the surface of the last release."""
    surface: dict[str, Any] = json.loads(RELEASED_FILE.read_text(encoding="utf-8"))
    return surface


def _labels(samples: Any) -> list[str]:
    """Return the labels without `le`, which is part of the histogram format."""
    return sorted({label for sample in samples for label in sample.labels} - {"le"})
