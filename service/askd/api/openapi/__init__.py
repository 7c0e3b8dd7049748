"""OpenAPI 3.1 document of the API, built from the types and error classes that the handlers use.

It depends only on the settings and the answerer's contract, in a fixed order, so its bytes are the same in every
process.
"""

from typing import Any

from askd import __version__
from askd.api.openapi import components, paths, problems
from askd.config import Settings
from askd.models import Answerer, Contract

__all__ = ["build_document"]

_DESCRIPTION = (
    "Send a question, get an answer. Every `GET` route also supports `HEAD`, and every route supports `OPTIONS`. "
    "Errors are problem details (RFC 9457); the fragment of their `type` is one of the codes listed in `x-problems`."
)


def build_document(settings: Settings, answerer: Answerer | None, *, max_length: int) -> dict[str, Any]:
    """Return the OpenAPI document.

    The HTML pages are rendered from it too: `x-answerer` and `x-problems` hold the data that OpenAPI has no fields for.

    Args:
        settings: Settings of the server.
        answerer: Provides the contract; None (not loaded yet) uses the default contract.
        max_length: Maximum length of a question in characters.
    """
    answerer_info = _answerer_info(settings, answerer)
    contract = answerer.contract if answerer else Contract()
    schemas, parameters = components.build_schemas(
        contract, max_length, supports_threads=answerer_info["conversational"]
    )
    return {
        "openapi": "3.1.0",
        "info": _info(answerer_info, contract),
        "servers": [{"url": settings.prefix or "/"}],
        "tags": [{"name": name, "description": text} for name, text in paths.build_tags(settings).items()],
        "paths": {
            "/ask": paths.build_path_item(
                contract,
                answerer_info,
                parameters,
                max_length=max_length,
                max_body_size=settings.body_max_size,
                requires_token=settings.tokens_file is not None,
                is_rate_limited=settings.rate_limit is not None,
            ),
            **paths.build_other_path_items(settings),
        },
        "components": {
            "schemas": schemas,
            "parameters": components.PARAMETERS,
            "headers": components.HEADERS,
            "responses": problems.build_response_components(),
            **({"securitySchemes": components.SECURITY_SCHEMES} if settings.tokens_file is not None else {}),
        },
        "x-answerer": answerer_info,
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
    return {
        "title": answerer_info["name"] or "askd",
        "summary": contract.summary,
        "description": f"{contract.description}\n\n{_DESCRIPTION}".strip(),
        "version": __version__,
    }
