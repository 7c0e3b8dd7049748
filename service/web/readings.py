"""What telemetry reads at a scrape, rather than being told of as it happens; runs in any thread."""

from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from service.guards.circuit import State
from service.guards.health import Health
from service.models import Statistics
from service.pipeline import Pipeline
from service.telemetry.metrics import gauge, results
from service.web.observe import Observer


def readings(observer: Observer, pipeline: Pipeline, health: Health) -> Iterable[Metric]:
    """Yield what observer, pipeline, guards and answerer count now."""
    yield from gauge("askd_in_flight", "Exchanges under way, streams included.", observer.in_flight)
    yield from gauge("askd_ready", "1 while questions should be sent here, else 0.", float(health.readiness().ok))
    yield from _answerer(pipeline)
    yield from _upstream(pipeline.answerer.statistics())
    yield from _cache(pipeline)


def _answerer(pipeline: Pipeline) -> Iterable[Metric]:
    code = pipeline.answerer.statistics()
    yield from gauge("askd_answerer_in_flight", "Questions in the code that answers.", pipeline.in_flight)
    yield from gauge("askd_queue", "Questions that wait for a thread.", code.queued)
    yield from gauge("askd_threads", "Threads that synchronous code may use.", code.threads)
    yield from gauge("askd_threads_busy", "Threads that run synchronous code.", code.busy)
    yield from gauge("askd_book_entries", "Entries of the book.", code.entries)
    reloads = {"succeeded": code.reloads, "failed": code.reload_failures}
    yield from results("askd_book_reloads", "Reloads of the book.", reloads)
    info = GaugeMetricFamily("askd_answerer_info", "What is served, always 1.", labels=("kind", "version"))
    info.add_metric((pipeline.answerer.kind, pipeline.answerer.version), 1.0)
    yield info


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


def _cache(pipeline: Pipeline) -> Iterable[Metric]:
    cache = pipeline.cache.statistics()
    found = {"hit": cache.hits, "miss": cache.misses, "expired": cache.expired, "bypass": cache.bypassed}
    yield from results("askd_cache_results", "Look-ups in the cache.", found)
    evicted = cache.evicted
    yield CounterMetricFamily("askd_cache_evictions", "Answers that made room for others in the cache.", value=evicted)
    yield from gauge("askd_cache_entries", "Answers in the cache.", cache.entries)
    yield from gauge("askd_cache_bytes", "Bytes that the cache holds.", cache.size)
    yield from gauge("askd_cache_capacity_bytes", "Bytes that the cache may hold.", cache.capacity)
