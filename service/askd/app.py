"""The app: what is wired to what, and nothing else."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aiohttp import web

from service.answerers import spec
from service.guards.cache import Cache
from service.guards.connections import Connections
from service.guards.connections import Limits as ConnectionLimits
from service.guards.flight import Flights
from service.guards.health import Health
from service.guards.limiter import Limiter
from service.guards.rate import Rate
from service.guards.tokens import Tokens
from service.lifetime import Lifetime, meanwhile
from service.models import Answerer
from service.pipeline import Pipeline
from service.settings import Settings
from service.shared.cache import SharedCache
from service.shared.line import Line
from service.shared.rate import PROBE, SCRIPT, SharedRate
from service.shared.redis import Redis
from service.telemetry.exchange_log import ExchangeLog
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing
from service.turn import Guards
from service.web.admission import Admission, Taker
from service.web.ask import Ask
from service.web.asked import Limits, Reader
from service.web.client import Clients
from service.web.cors import Cors
from service.web.door import Door
from service.web.exchanges import Exchanges
from service.web.failures import Failures
from service.web.observe import Observer
from service.web.ops import Dump, Ops
from service.web.readings import access, readings
from service.web.routes import Routes
from service.web.runner import Runner
from service.web.site import Site
from service.web.stream import Streams

ANSWERER: Final = web.AppKey[Answerer]("answerer", Answerer)
CONNECTIONS: Final = web.AppKey("connections", Connections)
DOOR: Final = web.AppKey("door", Door)
HEALTH: Final = web.AppKey("health", Health)
METRICS: Final = web.AppKey("metrics", Metrics)
OBSERVER: Final = web.AppKey("observer", Observer)
EXCHANGES: Final = web.AppKey("exchanges", Exchanges)
LONGEST: Final = web.AppKey("longest", int)
LINGER: Final = 2.0
"""Seconds for which an unread body is thrown away, so that the client sees its 413 before the connection closes."""
TRACING: Final = web.AppKey[Tracing | None]("tracing")
LOADED: Final = web.AppKey("loaded", asyncio.Task[None])
"""The load of the answerer: done when questions are answered, failed with LoadError when they never will be."""


def create_app(
    settings: Settings,
    *,
    answerer: Answerer | None = None,
    health: Health | None = None,
    metrics: Metrics | None = None,
    tracing: Tracing | None = None,
) -> web.Application:
    """Wire the server up. `answerer` None: the one that the settings name. Raises SpecError, StartupError.

    `health` and `metrics` are given where an ops port of its own shares them; None makes new ones. `tracing` None:
    nothing is traced. The answerer is loaded in the background once the app starts; await `app[LOADED]` to know the
    outcome.
    """
    answerer = answerer or spec.resolve(settings)
    health = health or Health(settings.stall_limit)
    metrics = metrics or Metrics(settings.latency_buckets)
    instance = socket.gethostname()
    longest = spec.question_max_length(settings, answerer)
    cors = Cors(settings.cors_origins)
    log = ExchangeLog(questions=settings.log_questions, sample=settings.log_sample)
    observer = Observer(metrics, health, cors, log=log, instance=instance, tracing=tracing)
    failures = Failures(settings.prefix, _problem_page)
    redis = Line(Redis(settings.redis_url, [SCRIPT]), PROBE) if settings.redis_url else None
    pipeline = _pipeline(settings, answerer, metrics, redis)
    reader = Reader(answerer, health, _limits(settings, answerer, longest))
    tokens = None if settings.tokens_file is None else Tokens(settings.tokens_file)
    rate, clients = _rate(settings, redis), Clients(settings.trusted_proxies)
    admission = Admission(tokens=tokens, rate=rate)
    exchanges = Exchanges(observer, failures, admission, clients=clients)
    ask = Ask(pipeline, reader, Streams(failures, dress=observer.dress))
    connections = Connections(connection_limits(settings))

    app = web.Application(client_max_size=settings.body_max_size)
    app[ANSWERER], app[EXCHANGES], app[CONNECTIONS] = answerer, exchanges, connections
    app[HEALTH], app[METRICS], app[OBSERVER], app[LONGEST] = health, metrics, observer, longest
    app[TRACING] = tracing
    routes = Routes(app, exchanges.around, cors=cors, prefix=settings.prefix)
    if settings.ops_port is None:
        Ops(health, metrics.registry).add_to(routes)
    routes.add("/ask", {"GET": ask.get, "POST": ask.post}, guarded=True)
    Site(settings, answerer, health, longest=longest, instance=instance).add_to(routes)
    routes.add_rest()
    app[DOOR] = Door(
        f"{settings.prefix}/ask",
        reader=reader,
        pipeline=pipeline,
        admission=admission,
        clients=clients,
        observer=observer,
        failures=failures,
    )
    metrics.read(lambda: readings(observer, pipeline, health, connections, rate=rate, redis=redis))
    if redis:
        app.cleanup_ctx.append(lambda _app: _opened(redis))
    lifetime = Lifetime(pipeline, health, metrics, patience=settings.shutdown_timeout)
    app.cleanup_ctx.append(lambda app: _lived(app, lifetime))
    if tokens is not None:
        metrics.read(lambda: access(tokens))
        app.cleanup_ctx.append(lambda _app: meanwhile(tokens.watch))
    return app


def create_runner(app: web.Application, settings: Settings, *, patience: float) -> Runner:
    """Return what serves the app over its listeners; `patience` is what aiohttp itself waits at the end, in seconds."""
    return Runner(
        app,
        app[METRICS],
        app[CONNECTIONS],
        door=app[DOOR] if settings.door else None,
        summaries=[app[OBSERVER].shed],
        handler_cancellation=True,
        lingering_time=LINGER,
        max_line_size=line_limit(app),
        shutdown_timeout=patience,
    )


def line_limit(app: web.Application, *, ceiling: int = 1 << 16) -> int:
    """Return the longest request line in bytes, so that the longest question fits, each character percent-encoded.

    A character takes up to 12 bytes so. Longer questions than `ceiling` allows are sent with POST.
    """
    return min(12 * app[LONGEST], ceiling) + (1 << 11)


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Return what the connections for questions may do."""
    return ConnectionLimits(
        most=settings.max_connections,
        header=settings.header_timeout,
        write=settings.write_timeout,
        keepalive=settings.keepalive,
        age=settings.connection_max_age,
    )


def create_ops_app(settings: Settings, health: Health, metrics: Metrics, dump: Dump | None = None) -> web.Application:
    """Wire the ops endpoints up for a port, loop and thread of their own; they only read, and log stacks by `dump`."""
    silent = Observer(metrics, health, Cors(()), log=ExchangeLog(), instance=socket.gethostname())
    failures = Failures(settings.prefix, _problem_page)
    app = web.Application()
    routes = Routes(app, Exchanges(silent, failures, Admission()).around, cors=Cors(()))
    Ops(health, metrics.registry, dump if settings.debug else None).add_to(routes)
    routes.add_rest()
    return app


def _pipeline(settings: Settings, answerer: Answerer, metrics: Metrics, redis: Line | None) -> Pipeline:
    guards = Guards(
        answerer,
        cache=Cache(settings.cache_size, ttl=settings.cache_ttl),
        flights=Flights(),
        limiter=Limiter(settings.concurrency, queue=settings.queue, budget=settings.queue_budget, ceiling=None),
        shared=SharedCache(redis) if redis else None,
        record=metrics.outcome,
        longest=spec.deadline(settings, answerer),
    )
    return Pipeline(guards, deterministic=settings.deterministic)


def _limits(settings: Settings, answerer: Answerer, longest: int) -> Limits:
    return Limits(
        longest=longest,
        body=settings.body_max_size,
        body_timeout=settings.body_timeout,
        deadline=spec.deadline(settings, answerer),
        stream_deadline=settings.stream_deadline,
    )


def _rate(settings: Settings, redis: Line | None) -> Taker | None:
    """Return what holds clients to their rate, in all replicas together where there is a Redis; None: nothing does."""
    if settings.rate is None:
        return None
    own = Rate(settings.rate, settings.rate_burst)
    return SharedRate(own, redis) if redis else own


async def _opened(redis: Line) -> AsyncIterator[None]:
    """Look for Redis in the background, from before the answerer is loaded until after it has been closed."""
    async with redis.opened():
        yield


async def _lived(app: web.Application, lifetime: Lifetime) -> AsyncIterator[None]:
    """Load the answerer while the listeners are open already; close it when everything has been answered."""
    app[LOADED] = lifetime.begin()
    yield
    await lifetime.end()


def _problem_page(problem: Mapping[str, Any], prefix: str) -> tuple[bytes, str]:
    from service.web import pages  # noqa: PLC0415 - a start without readers does not wait for them

    return pages.problem(problem, prefix), pages.POLICY
