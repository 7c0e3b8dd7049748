"""Answerers that forward questions over HTTP to a LangGraph server or to another askd.

`langgraph` and `askd` implement the two protocols on top of `RemoteAnswerer` (`base`: discovery and readiness) and
`UpstreamClient` (`http_client`: session, deadlines, circuit breaker).

This package is only imported if the spec is a URL, because importing aiohttp's client slows down the start.
"""

from askd.answerers.remote.address import RemoteAddress, parse_address
from askd.answerers.remote.askd import AskdAnswerer
from askd.answerers.remote.authorization import ApiKeyFile, UpstreamAuthorization
from askd.answerers.remote.http_client import DEFAULT_DEADLINE, UpstreamClient
from askd.answerers.remote.langgraph import LangGraphAnswerer
from askd.config import Settings
from askd.models import Answerer

__all__ = [
    "ApiKeyFile",
    "AskdAnswerer",
    "LangGraphAnswerer",
    "RemoteAddress",
    "UpstreamAuthorization",
    "UpstreamClient",
    "create_remote_answerer",
]


def create_remote_answerer(spec: str, settings: Settings) -> Answerer:
    """Return the answerer for a URL; it does not connect yet. Raises SpecError if the URL is invalid."""
    address = parse_address(spec, settings)
    deadline = settings.deadline or DEFAULT_DEADLINE
    upstream = UpstreamClient(
        address.base_url,
        ApiKeyFile(settings.upstream_api_key_file),
        authorization=UpstreamAuthorization(settings.upstream_authorization),
        deadline=deadline,
    )
    if address.is_askd:
        return AskdAnswerer(address, upstream, readiness_requires_upstream=settings.readiness_requires_upstream)
    return LangGraphAnswerer(
        address,
        upstream,
        readiness_requires_upstream=settings.readiness_requires_upstream,
        input_key=settings.graph_input_key,
        output_key=settings.graph_output_key,
    )
