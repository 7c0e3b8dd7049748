"""Assemble the app: create every component once and connect it to the others."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from askd.answerers import registry
from askd.api.admission import AdmissionControl, RateLimiter
from askd.api.ask import Ask
from askd.api.ask_path import ask_path
from askd.api.docs import DocsHandlers
from askd.api.formats.mcp import McpEndpoint
from askd.api.formats.mcp_interrupts import StateSigner
from askd.api.formats.named_handler import create_named_handlers
from askd.api.formats.openai import OpenAiEndpoint
from askd.api.instrumentation import Instrumentation, MalformedRequestCounter
from askd.api.large_answers import LargeAnswers
from askd.api.metric_collectors import collect_listener_metrics, collect_metrics, collect_token_metrics
from askd.api.middleware import RequestMiddleware
from askd.api.ops import DumpStacks, OpsHandlers
from askd.api.problems import ProblemRenderer
from askd.api.question_parser import QuestionParser, RequestLimits
from askd.api.served_answerers import AskSelector, GuardedAnswerer, ServedAnswerers, register_routes
from askd.api.streaming import StreamResponder
from askd.config import Settings
from askd.guards.cache import AnswerCache
from askd.guards.concurrency import ConcurrencyLimiter
from askd.guards.health import Health
from askd.guards.rate_limit import LocalRateLimiter
from askd.guards.single_flight import SingleFlight
from askd.guards.tokens import TokenStore
from askd.httpserver.client_address import ClientAddressResolver
from askd.httpserver.connections import ConnectionLimits, ConnectionManager
from askd.httpserver.cors import CorsPolicy
from askd.httpserver.descriptors import bounded_by_descriptors
from askd.httpserver.memory_trim import FreeMemory
from askd.httpserver.router import Router
from askd.httpserver.server import FastPathHandler, HttpServer
from askd.lifespan import AnswererLifespan, run_in_background
from askd.models import Answerer
from askd.pipeline import Pipeline
from askd.redis_backend.cache import RedisCache
from askd.redis_backend.client import BatchingRedisClient
from askd.redis_backend.connection import RedisConnection
from askd.redis_backend.rate_limit import GCRA_SCRIPT, PROBE_COMMAND, RedisRateLimiter
from askd.telemetry.access_log import AccessLog
from askd.telemetry.metrics import Metrics
from askd.telemetry.tracing import RequestTracer

ANSWERERS: Final = web.AppKey("answerers", ServedAnswerers)
ASK: Final = web.AppKey[Mapping[str, Ask]]("ask")
"""Handlers of questions by the name of the answerer; that of `/ask` has an empty name."""
CONNECTIONS: Final = web.AppKey("connections", ConnectionManager)
FAST_PATH: Final = web.AppKey[FastPathHandler]("fast_path")
"""Missing if `/ask` is not served."""
HEAD_MAX_SIZE: Final = web.AppKey("head_max_size", int)
HEALTH: Final = web.AppKey("health", Health)
INSTRUMENTATION: Final = web.AppKey("instrumentation", Instrumentation)
LOAD_TASK: Final = web.AppKey("load_task", asyncio.Task[None])
"""Task of the load: it ends when the answerer is ready, or with LoadError."""
METRICS: Final = web.AppKey("metrics", Metrics)
QUESTION_MAX_LENGTH: Final = web.AppKey("question_max_length", int)
REQUEST_TRACER: Final = web.AppKey[RequestTracer | None]("request_tracer")

LINGERING_TIME: Final = 2.0
"""Seconds for which an unread body is discarded, so that the client reads its 413 before the connection closes."""


def create_app(
    settings: Settings,
    *,
    answerer: Answerer | None = None,
    health: Health | None = None,
    metrics: Metrics | None = None,
    tracer: RequestTracer | None = None,
) -> web.Application:
    """Create the app.

    The answerers are loaded in the background when the app starts: await `app[LOAD_TASK]` for the outcome.

    Args:
        settings: The settings.
        answerer: The answerer to serve. None creates those that the settings name.
        health: Health to report to. None creates one.
        metrics: Metrics to record. None creates a registry.
        tracer: Tracer of the requests. None disables tracing.

    Raises:
        SpecError: The settings name no usable answerer.
        StartupError: A file that the settings name cannot be used.
    """
    named = registry.create_answerers(settings) if answerer is None else registry.NamedAnswerers({"": answerer}, "")
    health = health or Health(settings.stall_timeout, named.answerers)
    metrics = metrics or Metrics(settings.latency_buckets)
    instance = socket.gethostname()
    max_question_length = max(settings.effective_question_max_length(each.kind) for each in named.answerers.values())
    cors = CorsPolicy(settings.cors_origins)
    instrumentation = Instrumentation(
        metrics,
        health.drain_state,
        cors,
        access_log=AccessLog(log_questions=settings.log_questions, sample_ratio=settings.log_sample),
        instance=instance,
        tracing=tracer,
    )
    problem_renderer = ProblemRenderer(settings.prefix, _render_problem_page)
    redis = (
        BatchingRedisClient(RedisConnection(settings.redis_url, [GCRA_SCRIPT]), PROBE_COMMAND)
        if settings.redis_url
        else None
    )
    answerers = ServedAnswerers(
        [
            _create_guarded_answerer(settings, name, named, health=health, metrics=metrics, redis=redis)
            for name in named.answerers
        ],
        named.default,
    )
    tokens = None if settings.tokens_file is None else TokenStore(settings.tokens_file)
    rate_limiter = _create_rate_limiter(settings, redis)
    client_resolver = ClientAddressResolver(settings.trusted_proxies)
    admission = AdmissionControl(tokens=tokens, rate_limiter=rate_limiter)
    middleware = RequestMiddleware(instrumentation, problem_renderer, admission, client_resolver=client_resolver)
    stream_responder = StreamResponder(instrumentation, problem_renderer)
    connections = ConnectionManager(connection_limits(settings), drain_state=health.drain_state)
    large_answers = LargeAnswers(settings.unsent_max_size, lambda: connections.is_releasing_memory)

    def create_ask(name: str, answerer: GuardedAnswerer) -> Ask:
        path = ask_path(name)
        return Ask(
            settings.prefix + path,
            path,
            question_parser=_create_question_parser(settings, answerer, is_only=len(answerers) == 1),
            pipeline=answerer.pipeline,
            admission=admission,
            client_resolver=client_resolver,
            instrumentation=instrumentation,
            problem_renderer=problem_renderer,
            stream_responder=stream_responder,
            large_answers=large_answers,
        )

    handlers = {answerer.name: create_ask(answerer.name, answerer) for answerer in answerers}
    if answerers.default is not None and answerers.default.name:
        handlers[""] = create_ask("", answerers.default)
    docs = DocsHandlers(settings, answerers, health, max_question_length=max_question_length, instance=instance)

    app = web.Application(client_max_size=settings.body_max_size)
    app[ANSWERERS], app[ASK], app[CONNECTIONS] = answerers, handlers, connections
    app[HEALTH], app[METRICS], app[HEAD_MAX_SIZE] = health, metrics, settings.head_max_size
    app[INSTRUMENTATION], app[QUESTION_MAX_LENGTH], app[REQUEST_TRACER] = instrumentation, max_question_length, tracer
    router = Router(app, middleware.wrap, cors=cors, prefix=settings.prefix)
    if settings.ops_port is None:
        OpsHandlers(health, metrics.registry).register_routes(router)
    if "ask" in settings.formats:
        register_routes(router, answerers, handlers, names_are_known=named.names_are_known)
        app[FAST_PATH] = _create_fast_path(settings.prefix, answerers, handlers)
    named_handlers = create_named_handlers(answerers, handlers)
    if "mcp" in settings.formats:
        McpEndpoint(
            named_handlers,
            instrumentation=instrumentation,
            problem_renderer=problem_renderer,
            signer=StateSigner(settings.mcp_secret),
            cors=cors,
            requires_token=tokens is not None,
        ).register_routes(router)
    if "openai" in settings.formats:
        OpenAiEndpoint(named_handlers).register_routes(router)
    docs.register_routes(router)
    router.add_not_found_route()

    metrics.add_collector(
        lambda: collect_metrics(instrumentation, answerers, health, connections, rate_limiter=rate_limiter, redis=redis)
    )
    if redis:
        app.cleanup_ctx.append(lambda _app: _redis_lifespan(redis))
    lifespan = AnswererLifespan(answerers, health, metrics, close_timeout=settings.shutdown_timeout)
    app.cleanup_ctx.append(lambda app: lifespan.run(partial(app.__setitem__, LOAD_TASK)))
    if tokens is not None:
        metrics.add_collector(lambda: collect_token_metrics(tokens))
        app.cleanup_ctx.append(lambda _app: run_in_background(tokens.watch))
    return app


def create_server(
    app: web.Application,
    *,
    shutdown_timeout: float,
    lingering_time: float = LINGERING_TIME,
    with_fast_path: bool = True,
) -> HttpServer:
    """Create the server of the app.

    Args:
        app: The app.
        shutdown_timeout: Seconds that closing the server waits for requests in flight.
        lingering_time: Seconds for which an unread body is discarded.
        with_fast_path: Whether `GET /ask` is answered without aiohttp. False is for comparisons.
    """
    metrics, connections = app[METRICS], app[CONNECTIONS]
    malformed = MalformedRequestCounter(metrics, clock=connections.clock)
    server = HttpServer(
        app,
        connections,
        on_malformed=malformed.record,
        on_sweep=[malformed.log_throttle.flush, app[INSTRUMENTATION].shed_log_throttle.flush, FreeMemory().check],
        on_accept_delay=metrics.accept_delay.observe,
        fast_path=app.get(FAST_PATH) if with_fast_path else None,
        max_line_size=request_line_limit(app),
        max_head_size=app[HEAD_MAX_SIZE],
        lingering_time=lingering_time,
        shutdown_timeout=shutdown_timeout,
    )
    metrics.add_collector(lambda: collect_listener_metrics(server))
    return server


def request_line_limit(app: web.Application, *, ceiling: int = 1 << 16) -> int:
    """Return the maximum length of the request line in bytes, so that the longest question fits.

    A percent-encoded character takes up to 12 bytes. Questions that exceed `ceiling` must be sent with POST.
    """
    return min(12 * app[QUESTION_MAX_LENGTH], ceiling) + (1 << 11)


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Return the limits of the connections on the main port."""
    return ConnectionLimits(
        max_connections=bounded_by_descriptors(settings.max_connections),
        unsent_bytes=settings.unsent_max_size,
        header_timeout=settings.header_timeout,
        write_timeout=settings.write_timeout,
        keepalive_timeout=settings.keepalive_timeout,
        max_age=settings.connection_max_age,
    )


def create_ops_app(
    settings: Settings, health: Health, metrics: Metrics, dump: DumpStacks | None = None
) -> web.Application:
    """Create the app of the ops port, which runs in another thread, so its handlers only read the shared objects.

    `dump` logs all stacks and is served if `debug` is set. None disables the endpoint.
    """
    instrumentation = Instrumentation(
        metrics, health.drain_state, CorsPolicy(()), access_log=AccessLog(), instance=socket.gethostname()
    )
    middleware = RequestMiddleware(
        instrumentation, ProblemRenderer(settings.prefix, _render_problem_page), AdmissionControl()
    )
    app = web.Application()
    router = Router(app, middleware.wrap, cors=CorsPolicy(()))
    OpsHandlers(health, metrics.registry, dump if settings.debug else None).register_routes(router)
    router.add_not_found_route()
    return app


def _create_fast_path(prefix: str, answerers: ServedAnswerers, handlers: Mapping[str, Ask]) -> FastPathHandler:
    """Return the handler of `/ask` if there is only one answerer, which then pays nothing for the selection."""
    if len(answerers) == 1:
        return handlers[""]
    return AskSelector({prefix + ask_path(name): ask for name, ask in handlers.items()})


def _create_guarded_answerer(
    settings: Settings,
    name: str,
    named: registry.NamedAnswerers,
    *,
    health: Health,
    metrics: Metrics,
    redis: BatchingRedisClient | None,
) -> GuardedAnswerer:
    answerer, is_only = named.answerers[name], len(named.answerers) == 1
    answerer_metrics = metrics.create_answerer_metrics(ask_path("" if is_only else name))
    pipeline = Pipeline(
        answerer,
        cache=AnswerCache(settings.cache_size // len(named.answerers), ttl=settings.cache_ttl),
        single_flight=SingleFlight(),
        limiter=ConcurrencyLimiter(
            settings.concurrency,
            queue_size=settings.queue_size,
            target_delay=settings.queue_target_delay,
            max_concurrency=None,
        ),
        shared_cache=RedisCache(redis, answerer="" if is_only else name) if redis else None,
        record_outcome=answerer_metrics.record_outcome,
        deterministic=settings.deterministic,
        max_deadline=settings.effective_deadline(answerer.kind),
    )
    return GuardedAnswerer(name, pipeline, health.answerers[name], answerer_metrics)


def _create_question_parser(settings: Settings, served: GuardedAnswerer, *, is_only: bool) -> QuestionParser:
    kind = served.answerer.kind
    limits = RequestLimits(
        max_question_length=settings.effective_question_max_length(kind),
        max_body_size=settings.body_max_size,
        body_timeout=settings.body_timeout,
        deadline=settings.effective_deadline(kind),
        stream_deadline=settings.stream_deadline,
    )
    thread_scope = "" if is_only else quote(served.name, safe="")
    return QuestionParser(served.answerer, served.health, limits, thread_scope=thread_scope)


def _create_rate_limiter(settings: Settings, redis: BatchingRedisClient | None) -> RateLimiter | None:
    """Create the rate limiter, which all replicas share if there is a Redis. None disables rate limiting."""
    if settings.rate_limit is None:
        return None
    local = LocalRateLimiter(settings.rate_limit, settings.rate_burst)
    return RedisRateLimiter(local, redis) if redis else local


async def _redis_lifespan(redis: BatchingRedisClient) -> AsyncIterator[None]:
    """Connect to Redis before the answerer is loaded, and disconnect after it has been closed."""
    async with redis.lifespan():
        yield


def _render_problem_page(problem: Mapping[str, Any], prefix: str, query: str) -> tuple[bytes, str]:
    from askd.api import pages  # noqa: PLC0415 - keeps the HTML templates out of the start-up time

    return pages.problem_page(problem, prefix, query), pages.CONTENT_SECURITY_POLICY
