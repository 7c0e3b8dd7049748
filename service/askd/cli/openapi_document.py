"""The OpenAPI document of an answerer, for `askd openapi`."""

import asyncio
import json

from askd.api import openapi
from askd.cli.check_report import load_answerers
from askd.config import Settings


def build_openapi_json(settings: Settings) -> str:
    """Load the answerer and return its OpenAPI document as JSON. Raises StartupError as `askd serve` would."""

    async def load() -> str:
        async with load_answerers(settings) as named:
            answerers = named.answerers
            document = openapi.build_document(
                settings,
                None if named.default is None else answerers[named.default],
                max_length=max(settings.effective_question_max_length(each.kind) for each in answerers.values()),
                named=answerers if len(answerers) > 1 else {},
                has_default=named.default is not None,
            )
        return json.dumps(document, indent=2, ensure_ascii=False)

    return asyncio.run(load())
