"""What telemetry reads at a scrape, rather than being told of as it happens; runs in any thread."""

from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from service.guards.circuit import State
from service.guards.connections import Connections
from service.guards.health import Health, Phase
from service.guards.limiter import LimiterStatistics
from service.guards.tokens import Tokens
from service.models import Statistics
from service.pipeline import Pipeline
from service.shared.line import Line
from service.telemetry.metrics import gauge, results
from service.telemetry.output import output
from service.tls import Tls
from service.web.admission import Taker
from service.web.observe import Observer


def readings(
    observer: Observer,
    pipeline: Pipeline,
    health: Health,
    connections: Connections,
    *,
    rate: Taker | None = None,
    redis: Line | None = None,
) -> Iterable[Metric]:
    """Yield what observer, pipeline, guards and answerer count now. `rate` and `redis` None: there is none."""
    yield from gauge("askd_in_flight", "Exchanges under way, streams included.", observer.in_flight)
    yield from gauge("askd_ready", "1 while questions should be sent here, else 0.", float(health.readiness().ok))
    draining = float(health.phase is Phase.DRAINING)
    yield from gauge("askd_draining", "1 from the order to stop until the end, else 0.", draining)
    yield from _answerer(pipeline)
    yield from _limiter(pipeline.limiter.statistics())
    yield from _upstream(pipeline.answerer.statistics())
    yield from _cache(pipeline)
    yield from _flights(pipeline)
    yield from _rate(rate)
    yield from _redis(redis)
    yield from _connections(connections)
    lost = "Log lines that were not written, because standard error was slow or broken."
    yield CounterMetricFamily("askd_log_lines_dropped", lost, value=output.dropped)


def _answerer(pipeline: Pipeline) -> Iterable[Metric]:
    code = pipeline.answerer.statistics()
    yield from gauge("askd_threads_queued", "Calls of synchronous code that wait for a thread.", code.queued)
    yield from gauge("askd_threads", "Threads that synchronous code may use.", code.threads)
    yield from gauge("askd_threads_busy", "Threads that run synchronous code.", code.busy)
    yield from gauge("askd_book_entries", "Entries of the book.", code.entries)
    yield from _reloads("book", code.reloads, code.reload_failures, failing=code.reload_failing)
    info = GaugeMetricFamily("askd_answerer_info", "What is served, always 1.", labels=("kind", "version"))
    info.add_metric((pipeline.answerer.kind, pipeline.answerer.version), 1.0)
    yield info


def _limiter(seen: LimiterStatistics) -> Iterable[Metric]:
    yield from gauge("askd_concurrency_limit", "Questions that may be in the code at once.", seen.limit)
    yield from gauge("askd_answerer_in_flight", "Questions in the code that answers.", seen.in_flight)
    abandoned = "Calls of the code that go on although nobody waits for them; each holds a place."
    yield from gauge("askd_answerer_abandoned", abandoned, seen.abandoned)
    yield from gauge("askd_queue", "Questions that wait for a place in the code.", seen.waiting)
    yield from gauge("askd_queue_limit", "Questions that may wait now.", seen.queue)
    seconds = "Questions in the code, integrated over time: its rate is their mean number."
    yield CounterMetricFamily("askd_inflight_seconds", seconds, value=seen.inflight_seconds)
    delay = SummaryMetricFamily("askd_queue_delay_seconds", "From a question's first byte to its code's start.")
    delay.add_metric((), count_value=seen.delays, sum_value=seen.delay_seconds)
    yield delay
    shed = CounterMetricFamily("askd_shed", "Questions refused because there were too many.", labels=("reason",))
    for reason, count in (
        ("queue_full", seen.shed_queue_full),
        ("overloaded", seen.shed_overloaded),
        ("late", seen.shed_late),
    ):
        shed.add_metric((reason,), count)
    yield shed


def _upstream(code: Statistics) -> Iterable[Metric]:
    """Yield nothing where no server answers for this one."""
    if code.circuit is None:
        return
    state = GaugeMetricFamily("askd_upstream_circuit_state", "1 for the circuit's state, else 0.", labels=("state",))
    for each in State:
        state.add_metric((each.value,), float(each == code.circuit))
    yield state
    openings = code.circuit_openings or 0
    yield CounterMetricFamily("askd_upstream_circuit_openings", "How often the circuit has opened.", value=openings)
    yield from results("askd_upstream_requests", "Requests to the server that answers.", code.requests or {})


def _flights(pipeline: Pipeline) -> Iterable[Metric]:
    found = pipeline.flights.statistics()
    joined = {"led": found.led, "joined": found.joined}
    yield from results("askd_flight_results", "Questions by whether they needed a call of their own.", joined)


def _cache(pipeline: Pipeline) -> Iterable[Metric]:
    cache = pipeline.cache.statistics()
    found = {"hit": cache.hits, "miss": cache.misses, "expired": cache.expired, "bypass": cache.bypassed}
    yield from results("askd_cache_results", "Look-ups in the cache.", found)
    evicted = cache.evicted
    yield CounterMetricFamily("askd_cache_evictions", "Answers that made room for others in the cache.", value=evicted)
    yield from gauge("askd_cache_entries", "Answers in the cache.", cache.entries)
    yield from gauge("askd_cache_bytes", "Bytes that the cache holds.", cache.size)
    yield from gauge("askd_cache_capacity_bytes", "Bytes that the cache may hold.", cache.capacity)


def access(tokens: Tokens) -> Iterable[Metric]:
    """Yield who asks, and what became of the tokens' file; as many callers as have a token in force."""
    found = tokens.statistics()
    yield from gauge("askd_tokens", "Tokens in force.", found.tokens)
    callers = CounterMetricFamily("askd_caller_requests", "Requests let in, by the token's name.", labels=("caller",))
    for name, count in sorted(found.requests.items()):
        callers.add_metric((name,), float(count))
    yield callers
    refused = CounterMetricFamily("askd_unauthorized", "Requests not let in, by what is wrong.", labels=("token",))
    for why, count in found.refused.items():
        refused.add_metric((why,), float(count))
    yield refused
    yield from _reloads("tokens", found.reloads, found.reload_failures, failing=found.reload_failing)


def certificate(tls: Tls) -> Iterable[Metric]:
    """Yield how long the certificate is valid, and what became of its renewals."""
    found = tls.statistics()
    name = "askd_tls_certificate_expiry_timestamp_seconds"
    yield from gauge(name, "When the certificate ends, in seconds since 1970.", found.expires)
    yield from _reloads("tls", found.reloads, found.reload_failures, failing=found.reload_failing)


def _reloads(what: str, succeeded: int | None, failed: int | None, *, failing: bool | None) -> Iterable[Metric]:
    """Yield how often a file was read again, and whether what is in force is what the file says."""
    named = {"book": "book", "tokens": "tokens", "tls": "certificate"}[what]
    counts = {"succeeded": succeeded, "failed": failed}
    yield from results(f"askd_{what}_reloads", f"Reloads of the {named}.", counts)
    last = None if failing is None else float(not failing)
    help = f"0 while the {named} cannot be read again and an older state is in force, else 1."
    yield from gauge(f"askd_{what}_last_reload_successful", help, last)


def _rate(rate: Taker | None) -> Iterable[Metric]:
    if rate is None:
        return
    seen = rate.statistics()
    counts = {"allowed": seen.allowed, "refused": seen.refused}
    yield from results("askd_rate_results", "Questions, by whether their clients' rates allowed them.", counts)
    yield from gauge("askd_rate_clients", "Clients that this replica keeps the rates of.", seen.clients)
    help = "Clients that made room for others while they still had a debt."
    yield CounterMetricFamily("askd_rate_evictions", help, value=seen.evictions)


def _redis(redis: Line | None) -> Iterable[Metric]:
    if redis is None:
        return
    seen = redis.statistics()
    yield from gauge("askd_redis_up", "1 while rates and answers are shared, 0 while Redis is away.", float(seen.up))
    counts = {name: getattr(seen, name) for name in ("succeeded", "slow", "failed", "skipped")}
    yield from results("askd_redis_requests", "Commands to Redis.", counts)


def _connections(connections: Connections) -> Iterable[Metric]:
    now = connections.statistics()
    yield from gauge("askd_connections", "Connections that are open.", now.open)
    yield from gauge("askd_connections_limit", "Connections that may be open at once.", now.most)
    closed = CounterMetricFamily("askd_connections_closed", "Connections closed, by reason.", labels=("reason",))
    for reason, count in now.closed.items():
        closed.add_metric((reason,), float(count))
    yield closed
