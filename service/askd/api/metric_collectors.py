"""Metrics that are read at each scrape from the objects that count them. Safe in any thread."""

from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from askd.api.admission import RateLimiter
from askd.api.instrumentation import Instrumentation
from askd.api.served_answerers import GuardedAnswerer
from askd.circuit_breaker import CircuitState
from askd.guards.concurrency import ConcurrencyLimiterStatistics
from askd.guards.health import Health
from askd.guards.tokens import TokenStore
from askd.httpserver.connections import ConnectionManager
from askd.httpserver.server import HttpServer
from askd.httpserver.tls import CertificateReloader
from askd.models import AnswererStatistics
from askd.pipeline import Pipeline
from askd.redis_backend.client import BatchingRedisClient
from askd.telemetry.log_stream import log_stream
from askd.telemetry.metrics import ACTIVE_REQUESTS, label_by_answerer, optional_gauge, optional_result_counter

_RELOADED_FILES = {"book": "book", "tokens": "token file", "tls": "certificate"}


def collect_metrics(
    instrumentation: Instrumentation,
    answerers: Sequence[GuardedAnswerer],
    health: Health,
    connections: ConnectionManager,
    *,
    rate_limiter: RateLimiter | None = None,
    redis: BatchingRedisClient | None = None,
) -> Iterable[Metric]:
    """Yield the metrics of the app; `rate_limiter` and `redis` are None if they are disabled."""
    yield from optional_gauge(
        ACTIVE_REQUESTS, "HTTP requests in flight, including streams.", instrumentation.active_requests
    )
    yield from optional_gauge("askd_ready", "1 if readiness succeeds, otherwise 0.", float(health.check_readiness().ok))
    is_draining = float(health.drain_state.is_draining)
    yield from optional_gauge("askd_draining", "1 during graceful shutdown, otherwise 0.", is_draining)
    yield from label_by_answerer({answerer.name: _collect_answerer(answerer) for answerer in answerers})
    yield from _rate_limit_metrics(rate_limiter)
    yield from _redis_metrics(redis)
    yield from _connection_metrics(connections)
    help = "Log lines that were dropped because standard error was slow or broken."
    yield CounterMetricFamily("askd_log_lines_dropped", help, value=log_stream.dropped_lines)


def _collect_answerer(answerer: GuardedAnswerer) -> Iterable[Metric]:
    pipeline = answerer.pipeline
    yield from answerer.metrics.collect()
    yield from _answerer_metrics(pipeline)
    yield from _limiter_metrics(pipeline.limiter.statistics())
    yield from _upstream_metrics(pipeline.answerer.statistics())
    yield from _cache_metrics(pipeline)
    yield from _single_flight_metrics(pipeline)


def collect_listener_metrics(server: HttpServer) -> Iterable[Metric]:
    """Yield the metrics of the listeners of the main port."""
    help = "Connections that wait in the kernel to be accepted."
    yield from optional_gauge("askd_accept_queue_length", help, server.accept_queue_length)
    help = "Pauses in accepting because file descriptors or memory had run out."
    yield CounterMetricFamily("askd_accept_pauses", help, value=server.accept_pauses)


def collect_token_metrics(tokens: TokenStore) -> Iterable[Metric]:
    """Yield the metrics of authentication. There is one series per valid token."""
    statistics = tokens.statistics()
    yield from optional_gauge("askd_tokens", "Valid tokens.", statistics.tokens)
    callers = CounterMetricFamily("askd_caller_requests", "Authenticated requests, by token name.", labels=("caller",))
    for name, count in sorted(statistics.requests.items()):
        callers.add_metric((name,), float(count))
    yield callers
    rejected = CounterMetricFamily("askd_unauthorized", "Requests without a valid token.", labels=("token",))
    for reason, count in statistics.rejected.items():
        rejected.add_metric((reason,), float(count))
    yield rejected
    yield from _reload_metrics(
        "tokens", statistics.reloads, statistics.reload_failures, failing=statistics.reload_failing
    )


def collect_certificate_metrics(tls: CertificateReloader) -> Iterable[Metric]:
    """Yield the metrics of the TLS certificate."""
    statistics = tls.statistics()
    name = "askd_tls_certificate_expiry_timestamp_seconds"
    yield from optional_gauge(name, "Unix time at which the certificate expires.", statistics.expires_at)
    yield from _reload_metrics("tls", statistics.reloads, statistics.reload_failures, failing=statistics.reload_failing)


def _answerer_metrics(pipeline: Pipeline) -> Iterable[Metric]:
    statistics = pipeline.answerer.statistics()
    yield from optional_gauge(
        "askd_thread_pool_queue_length", "Calls of synchronous code that wait for a thread.", statistics.queued_calls
    )
    yield from optional_gauge("askd_thread_pool_size", "Maximum threads for synchronous code.", statistics.threads)
    yield from optional_gauge("askd_thread_pool_busy", "Threads that run synchronous code.", statistics.busy_threads)
    yield from _worker_metrics(statistics)
    yield from optional_gauge("askd_book_entries", "Entries of the book.", statistics.entries)
    yield from _reload_metrics(
        "book", statistics.reloads, statistics.reload_failures, failing=statistics.reload_failing
    )
    info = GaugeMetricFamily(
        "askd_answerer_info", "Kind and version of the answerer; always 1.", labels=("kind", "version")
    )
    info.add_metric((pipeline.answerer.kind, pipeline.answerer.version), 1.0)
    yield info


def _worker_metrics(statistics: AnswererStatistics) -> Iterable[Metric]:
    help = "Worker processes that have loaded the code."
    yield from optional_gauge("askd_worker_processes", help, statistics.worker_processes)
    help = "Worker processes with a call, which may have ended for its client."
    yield from optional_gauge("askd_worker_processes_busy", help, statistics.busy_worker_processes)
    help = "Resident memory of the worker processes together."
    yield from optional_gauge("askd_worker_memory_bytes", help, statistics.worker_bytes)
    help = "Worker processes that ended and were replaced, by reason."
    if statistics.worker_exits is not None:
        yield from optional_result_counter("askd_worker_exits", help, statistics.worker_exits, label="reason")


def _limiter_metrics(statistics: ConcurrencyLimiterStatistics) -> Iterable[Metric]:
    yield from optional_gauge("askd_concurrency_limit", "Maximum concurrent calls of the answerer.", statistics.limit)
    yield from optional_gauge("askd_answerer_in_flight", "Calls of the answerer in flight.", statistics.in_flight)
    help = "Calls of the answerer that still run although no client waits; each holds a permit."
    yield from optional_gauge("askd_answerer_abandoned", help, statistics.detached)
    yield from optional_gauge("askd_queue_length", "Requests that wait for a permit.", statistics.waiting)
    yield from optional_gauge(
        "askd_queue_limit", "Maximum requests that may wait for a permit.", statistics.queue_limit
    )
    help = "Calls of the answerer in flight, integrated over time: the rate is their mean number."
    yield CounterMetricFamily("askd_in_flight_seconds", help, value=statistics.in_flight_seconds)
    delay = SummaryMetricFamily(
        "askd_queue_delay_seconds", "Time from the first byte of the request to the call of the answerer."
    )
    delay.add_metric((), count_value=statistics.started, sum_value=statistics.queue_delay_seconds)
    yield delay
    shed = CounterMetricFamily("askd_shed", "Requests rejected by load shedding, by reason.", labels=("reason",))
    for reason, count in (
        ("queue_full", statistics.shed_queue_full),
        ("overloaded", statistics.shed_overloaded),
        ("late", statistics.shed_late),
    ):
        shed.add_metric((reason,), count)
    yield shed


def _upstream_metrics(statistics: AnswererStatistics) -> Iterable[Metric]:
    """Yield nothing for answerers without an upstream server."""
    if statistics.circuit_state is None:
        return
    state = GaugeMetricFamily(
        "askd_upstream_circuit_state", "1 for the current state of the circuit breaker, otherwise 0.", labels=("state",)
    )
    for circuit_state in CircuitState:
        state.add_metric((circuit_state.value,), float(circuit_state == statistics.circuit_state))
    yield state
    help = "Number of times that the circuit breaker opened."
    yield CounterMetricFamily("askd_upstream_circuit_openings", help, value=statistics.circuit_openings or 0)
    yield from optional_result_counter(
        "askd_upstream_requests", "Requests to the upstream server, by result.", statistics.upstream_requests or {}
    )


def _single_flight_metrics(pipeline: Pipeline) -> Iterable[Metric]:
    statistics = pipeline.single_flight.statistics()
    roles = {"leader": statistics.leaders, "follower": statistics.followers}
    help = "Requests by their role in a shared call: the leader starts it, followers share it."
    yield from optional_result_counter("askd_single_flight", help, roles, label="role")


def _cache_metrics(pipeline: Pipeline) -> Iterable[Metric]:
    statistics = pipeline.cache.statistics()
    counts = {
        "hit": statistics.hits,
        "miss": statistics.misses,
        "expired": statistics.expired,
        "bypass": statistics.bypassed,
    }
    yield from optional_result_counter("askd_cache_lookups", "Cache lookups, by result.", counts)
    help = "Answers evicted from the cache because it was full."
    yield CounterMetricFamily("askd_cache_evictions", help, value=statistics.evicted)
    yield from optional_gauge("askd_cache_entries", "Answers in the cache.", statistics.entries)
    yield from optional_gauge("askd_cache_bytes", "Size of the cache.", statistics.size)
    yield from optional_gauge("askd_cache_capacity_bytes", "Maximum size of the cache.", statistics.capacity)


def _reload_metrics(file: str, succeeded: int | None, failed: int | None, *, failing: bool | None) -> Iterable[Metric]:
    """Yield the reloads of a file, and whether the current content is in use; nothing if the counts are None."""
    counts = {"succeeded": succeeded, "failed": failed}
    description = _RELOADED_FILES[file]
    yield from optional_result_counter(f"askd_{file}_reloads", f"Reloads of the {description}, by result.", counts)
    is_current = None if failing is None else float(not failing)
    help = f"0 if the last reload of the {description} failed and the previous content is still in use, otherwise 1."
    yield from optional_gauge(f"askd_{file}_last_reload_successful", help, is_current)


def _rate_limit_metrics(rate_limiter: RateLimiter | None) -> Iterable[Metric]:
    if rate_limiter is None:
        return
    statistics = rate_limiter.statistics()
    counts = {"allowed": statistics.allowed, "refused": statistics.rejected}
    help = "Decisions of the rate limiter, by result."
    yield from optional_result_counter("askd_rate_limit_decisions", help, counts)
    yield from optional_gauge(
        "askd_rate_limit_clients", "Clients tracked by the rate limiter of this replica.", statistics.clients
    )
    help = "Clients evicted from the rate limiter before their limit had recovered."
    yield CounterMetricFamily("askd_rate_limit_evictions", help, value=statistics.evictions)


def _redis_metrics(redis: BatchingRedisClient | None) -> Iterable[Metric]:
    if redis is None:
        return
    statistics = redis.statistics()
    help = "1 if Redis is available and rate limits and cache are shared, otherwise 0."
    yield from optional_gauge("askd_redis_up", help, float(statistics.is_up))
    counts = {name: getattr(statistics, name) for name in ("succeeded", "slow", "failed", "skipped")}
    yield from optional_result_counter("askd_redis_requests", "Commands to Redis, by result.", counts)


def _connection_metrics(connections: ConnectionManager) -> Iterable[Metric]:
    statistics = connections.statistics()
    yield from optional_gauge("askd_connections", "Open connections.", statistics.open_connections)
    yield from optional_gauge("askd_connections_limit", "Maximum open connections.", statistics.max_connections)
    closed = CounterMetricFamily("askd_connections_closed", "Closed connections, by reason.", labels=("reason",))
    for reason, count in statistics.closed_by_reason.items():
        closed.add_metric((reason,), float(count))
    yield closed
