"""The operations beside `/ask`: the pages, the contract itself, and the ops endpoints where they share the port."""

from functools import partial
from typing import Any, Final

from service.errors import Unavailable
from service.settings import Settings
from service.web.openapi import parts, problems

_TEXT: Final = {"schema": {"type": "string"}}
_TAGS: Final = {"questions": "Ask, and get an answer.", "about": "What this server is."}
_PROBES: Final = {
    "livez": "Tells whether the process is alive.",
    "healthz": "The same as `/livez`.",
    "readyz": "Tells whether questions should be sent here.",
    "startupz": "Tells whether the start is over.",
}
_VERBOSE: Final = {
    "name": "verbose",
    "in": "query",
    "description": "Give it, with any value or none, to see each check.",
    "schema": {},
}


def tags(settings: Settings) -> dict[str, str]:
    """Return the tags in use, with their meaning."""
    return _TAGS if settings.ops_port is not None else {**_TAGS, "ops": "For the platform, not for clients."}


def paths(settings: Settings) -> dict[str, Any]:
    """Return the path items of everything but `/ask`."""
    get = partial(_get, guarded=settings.docs_need_token)
    found = {
        "/": get("home", "The home page, or for programs what this server is.", _pages("Service")),
        "/docs": get("docs", "The reference as a page, or for programs this document.", _pages(None)),
        "/openapi.json": get("openapi", "This document.", {"application/json": {"schema": {"type": "object"}}}),
    }
    return found if settings.ops_port is not None else {**found, **_ops(settings)}


def _get(operation: str, summary: str, content: dict[str, Any], *, guarded: bool) -> dict[str, Any]:
    found = _operation("about", operation, summary, content, guarded=guarded)
    if "text/html" in content:
        # Pages are made once and have an ETag; the JSON is as small as a 304.
        found["parameters"] = [{"$ref": "#/components/parameters/IfNoneMatch"}]
        found["responses"]["304"] = {"description": "The page that you have still holds."}
    return {"get": found}


def _pages(schema: str | None) -> dict[str, Any]:
    shape = {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}
    return {"text/html": _TEXT, "application/json": {"schema": shape}}


def _ops(settings: Settings) -> dict[str, Any]:
    # The platform asks pods directly, so that no prefix applies.
    place = {"servers": [{"url": "/"}]} if settings.prefix else {}
    metrics = dict.fromkeys(("text/plain", "application/openmetrics-text"), _TEXT)
    found = {"/metrics": {**place, "get": _operation("ops", "metrics", "Metrics for Prometheus.", metrics)}}
    for name, summary in _PROBES.items():
        found[f"/{name}"] = {**place, "get": _probe(name, summary)}
    return found


def _probe(name: str, summary: str) -> dict[str, Any]:
    found = _operation("ops", name, summary, {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}})
    found["parameters"] = [_VERBOSE]
    found["responses"]["503"] = problems.reference(Unavailable)
    return found


def _operation(
    tag: str, operation: str, summary: str, content: dict[str, Any], *, guarded: bool = False
) -> dict[str, Any]:
    responses = {"200": {"description": "As asked for.", "content": content}, **problems.everywhere(guarded=guarded)}
    about = {"operationId": operation, "tags": [tag], "summary": summary, **parts.security(guarded=guarded)}
    return {**about, "responses": responses}
