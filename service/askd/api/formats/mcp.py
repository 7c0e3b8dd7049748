"""The Model Context Protocol at `/mcp`: each answerer is a tool.

Served are the revision 2026-07-28, which has no sessions, and 2025-11-25 and 2025-06-18 without a session. A client
sends one JSON-RPC message with each POST. The response is JSON, or server-sent events if the client wants progress and
the answerer streams. A problem that a model can do something about is a result with `isError`; all others keep their
HTTP status. Metrics, log and trace have the status that `/ask` would have sent in both cases.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from msgspec import UNSET

from askd.api.formats import mcp_messages
from askd.api.formats.mcp_interrupts import StateSigner
from askd.api.formats.mcp_messages import McpError
from askd.api.formats.mcp_request import MESSAGE_ID, SERVER_INFO, McpRequest, encode_problem
from askd.api.formats.mcp_tool import build_tool
from askd.api.formats.mcp_tool_call import ToolCall
from askd.api.formats.named_handler import NamedHandler, find_by_name, read_json
from askd.api.instrumentation import Instrumentation
from askd.api.problems import ProblemRenderer, to_problem
from askd.context import get_request_context
from askd.errors import NotAcceptable, Problem
from askd.httpserver.aiohttp_bridge import bridge_of
from askd.httpserver.cors import CorsPolicy
from askd.httpserver.negotiation import JSON, STREAM, choose_media_type
from askd.httpserver.router import Router
from askd.models import Contract

LIST_TTL: Final = 300_000
"""Milliseconds for which clients may keep the list of tools, which only a new release changes."""

_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

MethodHandler = Callable[[McpRequest], Awaitable[web.StreamResponse]]


class McpEndpoint:
    """Serves `/mcp`.

    Args:
        answerers: Each one is a tool.
        instrumentation: Starts the traces, whose parent is in the body.
        problem_renderer: Records problems that are results.
        signer: Signs the state of interrupted calls.
        cors: Allows the origins of web pages besides those on this machine.
        requires_token: Whether clients must send a token, so that caches must not share the list of tools.
    """

    def __init__(
        self,
        answerers: Sequence[NamedHandler],
        *,
        instrumentation: Instrumentation,
        problem_renderer: ProblemRenderer,
        signer: StateSigner,
        cors: CorsPolicy,
        requires_token: bool,
    ) -> None:
        self._answerers = answerers
        self._instrumentation = instrumentation
        self._problem_renderer = problem_renderer
        self._signer = signer
        self._cors = cors
        self._cache_hints = {"ttlMs": LIST_TTL, "cacheScope": "private" if requires_token else "public"}
        self._tools: dict[str, tuple[Contract, dict[str, Any]]] = {}
        self._handlers: dict[tuple[bool, str], MethodHandler] = {
            (True, "server/discover"): self._discover,
            (True, "tools/list"): self._list_tools,
            (True, "tools/call"): self._call_tool,
            (False, "initialize"): self._initialize,
            (False, "ping"): self._ping,
            (False, "tools/list"): self._list_tools,
            (False, "tools/call"): self._call_tool,
        }

    def register_routes(self, router: Router) -> None:
        """Add the route. GET and DELETE, which older revisions use for sessions, are 405."""
        router.add(
            "/mcp", {"POST": self.post}, requires_admission=True, encode_problem=encode_problem, starts_trace=False
        )

    async def post(self, request: web.Request) -> web.StreamResponse:
        """`POST /mcp` with one JSON-RPC message."""
        self._check_origin(request.headers)
        body = await read_json(self._answerers, request)
        try:
            message = mcp_messages.parse_message(body)
        except McpError:
            request[MESSAGE_ID] = mcp_messages.find_id(body)
            raise
        request[MESSAGE_ID] = message.id
        context, bridge = get_request_context(), bridge_of(request)
        if bridge is not None:
            self._instrumentation.start_trace_from(context, bridge.head, message.params.meta.trace_parent)
        if message.id is UNSET:
            return web.Response(status=HTTPStatus.ACCEPTED)
        is_modern = mcp_messages.check_version(message, request.headers)
        handler = self._handlers.get((is_modern, message.method))
        if handler is None:
            methods = ", ".join(name for modern, name in self._handlers if modern == is_modern)
            raise McpError(
                "method",
                f"Method not found: {message.method[:100]!r}. Use one of {methods}.",
                mcp_messages.METHOD_NOT_FOUND,
                status=HTTPStatus.NOT_FOUND if is_modern else HTTPStatus.OK,
            )
        accept = request.headers.get(hdrs.ACCEPT, "")
        media_type = choose_media_type(accept, (JSON, STREAM)) if accept else JSON
        if media_type is None:
            raise NotAcceptable(f"Accept excludes every format. Send Accept: {JSON}, {STREAM}.")
        return await handler(McpRequest(request, context, message, is_modern, media_type))

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        """Reject web pages of other origins: by DNS rebinding, they can reach a server on the user's machine."""
        origin = headers.get(hdrs.ORIGIN)
        if origin is None or self._cors.allows(origin):
            return
        try:
            host = urlsplit(origin).hostname
        except ValueError:
            host = None
        if host not in _LOOPBACK_HOSTS:
            raise McpError(
                hdrs.ORIGIN,
                "Web pages of this origin may not use this server. Add the origin to ASKD_CORS_ORIGINS.",
                mcp_messages.INVALID_REQUEST,
                status=HTTPStatus.FORBIDDEN,
            )

    async def _discover(self, request: McpRequest) -> web.StreamResponse:
        versions = mcp_messages.SUPPORTED_VERSIONS
        return request.respond({"supportedVersions": versions, "capabilities": {"tools": {}}, **self._cache_hints})

    async def _initialize(self, request: McpRequest) -> web.StreamResponse:
        requested = request.message.params.protocol_version
        version = requested if requested in mcp_messages.LEGACY_VERSIONS else mcp_messages.LEGACY_VERSIONS[0]
        return request.respond({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": SERVER_INFO})

    async def _ping(self, request: McpRequest) -> web.StreamResponse:
        return request.respond({})

    async def _list_tools(self, request: McpRequest) -> web.StreamResponse:
        return request.respond({"tools": [self._get_tool(served) for served in self._answerers], **self._cache_hints})

    def _get_tool(self, served: NamedHandler) -> dict[str, Any]:
        """Return the description of a tool, built again only if the contract has changed. Raises Unavailable."""
        parser, pipeline = served.ask.question_parser, served.ask.pipeline
        parser.require_loaded()
        contract = served.answerer.contract
        known = self._tools.get(served.name)
        if known is None or known[0] is not contract:
            max_length = parser.limits.max_question_length
            tool = build_tool(served.name, served.answerer, max_length=max_length, deterministic=pipeline.deterministic)
            self._tools[served.name] = known = contract, tool
        return known[1]

    async def _call_tool(self, request: McpRequest) -> web.StreamResponse:
        name = request.message.params.name
        served = find_by_name(self._answerers, name)
        if served is None:
            names = ", ".join(served.name for served in self._answerers)
            raise request.invalid_params("name", f"Unknown tool: {str(name)[:100]!r}. Use one of {names}.")
        call = ToolCall(request, served, self._signer)
        try:
            ask_request = call.parse()
            if isinstance(ask_request, dict):
                return request.respond(ask_request)
            execution = served.ask.begin(request.http, ask_request)
            if call.streams:
                event_timeout = ask_request.response_options.event_timeout
                return await served.ask.stream(request.http, execution, call, event_timeout=event_timeout)
            return request.respond(call.result_of(await served.ask.wait_for_answer(request.context, execution)))
        except Problem as error:
            result = call.result_of_problem(to_problem(error))
            if result is None:
                raise
            request.context.status = int(error.status)
            self._problem_renderer.problem_details(error, request.http.rel_url.raw_path)
            return request.respond(result)
