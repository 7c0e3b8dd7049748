"""OpenAPI 3.1 document of the API, built from the types and error classes that the handlers use.

It depends only on the settings and the answerer's contract, in a fixed order, so its bytes are the same in every
process.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from askd import __version__
from askd.api.ask_path import ask_path
from askd.api.openapi import components, formats, paths, problems
from askd.config import Settings
from askd.models import Answerer, Contract

__all__ = ["build_document"]

_DESCRIPTION = (
    "Every `GET` route also supports `HEAD`, and every route supports `OPTIONS`. "
    "Errors are problem details (RFC 9457); the fragment of their `type` is one of the codes listed in `x-problems`."
)


def build_document(
    settings: Settings,
    answerer: Answerer | None,
    *,
    max_length: int,
    named: Mapping[str, Answerer | None] = MappingProxyType({}),
    has_default: bool = True,
) -> dict[str, Any]:
    """Return the OpenAPI document.

    The HTML pages are rendered from it too: `x-answerer`, `x-answerers` and `x-problems` hold the data that OpenAPI has
    no fields for.

    Args:
        settings: Settings of the server.
        answerer: The answerer at `/ask`; None (not loaded yet) uses the default contract.
        max_length: Maximum length of a question in characters.
        named: The answerers at `/ask/NAME` by name.
        has_default: Whether there is an answerer at `/ask`.
    """
    by_name = {**({"": answerer} if has_default else {}), **named}
    info_by_name = {name: _answerer_info(settings, each) for name, each in by_name.items()}
    schemas: dict[str, Any] = {}
    ask_items: dict[str, Any] = {}
    for name, each in by_name.items():
        contract, answerer_info = each.contract if each else Contract(), info_by_name[name]
        own_schemas, parameters = components.build_schemas(
            contract, max_length, supports_threads=answerer_info["conversational"], name=name
        )
        schemas |= own_schemas
        ask_items[ask_path(name)] = paths.build_path_item(
            contract,
            answerer_info,
            parameters,
            max_length=max_length,
            max_body_size=settings.body_max_size,
            requires_token=settings.tokens_file is not None,
            is_rate_limited=settings.rate_limit is not None,
            name=name,
        )
    first, has_several = next(iter(by_name)), len(named) > 1
    by_path = {ask_path(name): info for name, info in info_by_name.items()}
    first_contract = first_answerer.contract if (first_answerer := by_name[first]) else Contract()
    return {
        "openapi": "3.1.0",
        "info": _info_of_several(settings) if has_several else _info(info_by_name[first], first_contract),
        "servers": [{"url": settings.prefix or "/"}],
        "tags": [
            {"name": name, "description": text, **({"x-collapsed": True} if name in paths.COLLAPSED_TAGS else {})}
            for name, text in paths.build_tags(settings).items()
        ],
        "paths": {
            **(ask_items if "ask" in settings.formats else {}),
            **formats.build_path_items(settings),
            **paths.build_other_path_items(settings, has_several=has_several),
        },
        "components": {
            "schemas": {**schemas, **components.COMMON_SCHEMAS, **formats.build_schemas(settings)},
            "parameters": components.PARAMETERS,
            "headers": components.HEADERS,
            "responses": problems.build_response_components(),
            **({"securitySchemes": components.SECURITY_SCHEMES} if settings.tokens_file is not None else {}),
        },
        "x-answerer": info_by_name[first],
        **({"x-answerers": by_path} if named else {}),
        "x-problems": problems.build_catalog(),
    }


def _answerer_info(settings: Settings, answerer: Answerer | None) -> dict[str, Any]:
    if answerer is None:
        unsupported = {"streams": False, "conversational": False}
        return {"kind": "", "name": "", "deterministic": bool(settings.deterministic), **unsupported}
    override = settings.deterministic
    return {
        "kind": answerer.kind,
        # Only the last part: the directory or host of the code is private.
        "name": answerer.name.rstrip("/").rsplit("/", 1)[-1],
        "deterministic": answerer.deterministic if override is None else override,
        "streams": answerer.supports_streaming,
        "conversational": answerer.supports_threads,
    }


def _info(answerer_info: dict[str, Any], contract: Contract) -> dict[str, Any]:
    # The default summary says nothing about what is served.
    summary = {"summary": contract.summary} if contract.summary != Contract().summary else {}
    return {
        "title": answerer_info["name"] or "askd",
        **summary,
        "description": f"{contract.description}\n\n{_DESCRIPTION}".strip(),
        "version": __version__,
    }


def _info_of_several(settings: Settings) -> dict[str, Any]:
    return {
        "title": (settings.answerer or "askd").rpartition("/")[2],
        "summary": "Answers questions.",
        "description": f"Each answerer has its own path.\n\n{_DESCRIPTION}",
        "version": __version__,
    }
