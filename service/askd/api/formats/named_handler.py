"""An answerer as the formats see it: its name, and the life of a request to it."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from askd.api import request_values
from askd.api.ask import Ask
from askd.api.served_answerers import ServedAnswerers
from askd.errors import NoAnswer, Problem, UnsupportedMediaType
from askd.models import Answerer

_MAX_NAME_LENGTH: Final = 64
_SUFFIX: Final = re.compile(r"\.(py|ya?ml|json|csv|tsv|md|txt)$", re.IGNORECASE)


class NamedHandler(NamedTuple):
    """One answerer. MCP lists it as a tool, OpenAI's format as a model."""

    name: str
    """1 to 64 letters, digits, underscores and hyphens, unique in the server."""
    ask: Ask

    @property
    def answerer(self) -> Answerer:
        """The answerer itself."""
        return self.ask.pipeline.answerer


def public_name(name: str) -> str:
    """Return the name of an answerer for clients: `answer` for `main.py:answer`, `faq` for `books/faq.yaml`."""
    last_part = name.rstrip("/").rpartition("/")[2]
    path, _, fragment = last_part.partition("#")
    attribute = path.rpartition(":")[2]
    chosen = fragment or (path.partition(":")[0] if attribute.isdecimal() else attribute)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", _SUFFIX.sub("", chosen)).strip("_")[:_MAX_NAME_LENGTH] or "ask"


def create_named_handlers(answerers: ServedAnswerers, handlers: Mapping[str, Ask]) -> list[NamedHandler]:
    """Return the handlers of all answerers, the default one first. Names that become equal get a number."""
    names: set[str] = set()
    named = []
    for served in sorted(answerers, key=lambda served: served is not answerers.default):
        name = base = public_name(served.name or served.answerer.name)
        for number in itertools.count(2):
            if name not in names:
                break
            name = f"{base[: _MAX_NAME_LENGTH - 4]}_{number}"
        names.add(name)
        named.append(NamedHandler(name, handlers[served.name]))
    return named


def find_by_name(answerers: Sequence[NamedHandler], name: object) -> NamedHandler | None:
    """Return the answerer with this name, or None."""
    return next((served for served in answerers if served.name == name), None)


async def read_json(answerers: Sequence[NamedHandler], request: web.Request) -> bytes:
    """Return a body that is declared as JSON, read within the limits of `/ask`. Raises Problem."""
    if request_values.parse_media_type(request.headers.get(hdrs.CONTENT_TYPE)) != request_values.JSON_TYPE:
        raise UnsupportedMediaType("The body must be JSON. Send Content-Type: application/json.")
    return await answerers[0].ask.read_body(request)


def describe_problem(error: Problem) -> str:
    """Return a problem as one text, for clients that show nothing else: the detail and similar questions."""
    suggestions = error.extensions.get("suggestions")
    if not isinstance(error, NoAnswer) or not suggestions:
        return error.detail
    return "There is no answer to this question. Questions that have one: " + " | ".join(map(str, suggestions))
