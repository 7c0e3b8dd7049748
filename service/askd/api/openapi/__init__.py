"""The contract: an OpenAPI 3.1 document made from the types that the handlers validate with.

It depends on settings and contract alone, in a fixed order, so that its bytes are the same in every process.
"""

from typing import Any

from service import __version__
from service.models import Answerer, Contract
from service.settings import Settings
from service.web.openapi import ask, others, parts, problems

__all__ = ["document"]

_DESCRIPTION = (
    "Ask a question, get an answer. Every `GET` route takes `HEAD` as well, and every route takes `OPTIONS`. "
    "Errors are problem details (RFC 9457); the last part of their `type` is a code listed under `x-problems`."
)


def document(settings: Settings, answerer: Answerer | None, *, max_length: int) -> dict[str, Any]:
    """Return the OpenAPI document of the service; `max_length` is the longest question in characters.

    With `answerer` None (not known, or not loaded) the contract is the default one. The pages are made from the
    document too: `x-answerer` and `x-problems` hold what OpenAPI has no place for.
    """
    about = _about(settings, answerer)
    contract = answerer.contract if answerer else Contract()
    schemas, parameters = parts.schemas(contract, max_length, threads=about["conversational"])
    return {
        "openapi": "3.1.0",
        "info": _info(about, contract),
        "servers": [{"url": settings.prefix or "/"}],
        "tags": [{"name": name, "description": text} for name, text in others.tags(settings).items()],
        "paths": {
            "/ask": ask.path(
                contract,
                about,
                parameters,
                max_length=max_length,
                body_max=settings.body_max_size,
                guarded=settings.tokens_file is not None,
                limited=settings.rate is not None,
            ),
            **others.paths(settings),
        },
        "components": {
            "schemas": schemas,
            "parameters": parts.PARAMETERS,
            "headers": parts.HEADERS,
            "responses": problems.responses(),
            **({"securitySchemes": parts.SECURITY_SCHEMES} if settings.tokens_file is not None else {}),
        },
        "x-answerer": about,
        "x-problems": problems.listed(),
    }


def _about(settings: Settings, answerer: Answerer | None) -> dict[str, Any]:
    if answerer is None:
        nothing = {"streams": False, "conversational": False}
        return {"kind": "", "name": "", "deterministic": bool(settings.deterministic), **nothing}
    declared = settings.deterministic
    return {
        "kind": answerer.kind,
        # The folder or the host that code comes from is nobody's business.
        "name": answerer.name.rstrip("/").rsplit("/", 1)[-1],
        "deterministic": answerer.deterministic if declared is None else declared,
        "streams": answerer.streams,
        "conversational": answerer.conversational,
    }


def _info(about: dict[str, Any], contract: Contract) -> dict[str, Any]:
    return {
        "title": about["name"] or "askd",
        "summary": contract.summary,
        "description": f"{contract.description}\n\n{_DESCRIPTION}".strip(),
        "version": __version__,
    }
