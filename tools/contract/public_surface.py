"""What a user can rely on, as it is now: the settings' names, the metrics with their labels, the OpenAPI document."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from service import __version__
from service.app import LOADED, create_app
from service.settings import Settings, unknown_variables
from service.variables import variable_name

RELEASED: Final = Path(__file__).with_name("released.json")
OWN: Final = "askd_"
DEPRECATED: Final = "Deprecated"
"""How the help of a metric begins that goes away with the next minor release."""


async def current() -> dict[str, Any]:
    """Return the surface of an app with default settings, which serves the built-in book."""
    app = create_app(Settings())
    async with TestClient(TestServer(app)) as client:
        await app[LOADED]
        async with client.get("/ask", params={"q": "hello"}) as response:
            await response.read()
        async with client.get("/metrics", headers={"Accept": "text/plain"}) as response:
            scrape = await response.text()
        async with client.get("/openapi.json") as response:
            document = await response.json()
    settings = sorted(variable_name(field.name) for field in dataclasses.fields(Settings))
    return {"version": __version__, "settings": settings, "metrics": metrics(scrape), "openapi": document}


def metrics(scrape: str) -> dict[str, dict[str, Any]]:
    """Read askd's own metrics from a scrape, by the name that a query would use."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            "type": family.type,
            "labels": _labels(family.samples),
            "deprecated": family.documentation.startswith(DEPRECATED),
        }
        for family in text_string_to_metric_families(scrape)
        if family.name.startswith(OWN) and not family.name.endswith("_created")
    }


def to_release(surface: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must stay compatible from this release on: all of the surface that is not deprecated."""
    kept = {
        name: {"type": each["type"], "labels": each["labels"]}
        for name, each in surface["metrics"].items()
        if not each["deprecated"]
    }
    return {**surface, "metrics": kept}


def is_setting(variable: str) -> bool:
    """Whether a variable does something: it names a setting, or is the alias of one."""
    return not unknown_variables({variable: "1"})


def released() -> dict[str, Any]:
    """Read the surface of the last release."""
    found: dict[str, Any] = json.loads(RELEASED.read_text(encoding="utf-8"))
    return found


def _labels(samples: Any) -> list[str]:
    """Return the labels that a user's query may name; `le` belongs to the histogram itself."""
    return sorted({label for sample in samples for label in sample.labels} - {"le"})
