"""Metrics that the code registers in `prometheus_client`, collected from all workers at a scrape.

Counters, histograms and summaries are added up, and workers that have ended keep counting. All other metrics get the
label `worker_process`, because only their author knows if their sum or their maximum has a meaning.
"""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from askd.answerers.worker_processes.messages import MetricFamily, MetricSample
from askd.answerers.worker_processes.pool import WorkerPool
from askd.answerers.worker_processes.worker_handle import WorkerProcess

COLLECT_TIMEOUT: Final = 0.5
"""Seconds to wait for the metrics of the workers. One that is late counts with its latest ones."""
WORKER_LABEL: Final = "worker_process"
_ADDITIVE_TYPES: Final = frozenset({"counter", "histogram", "summary"})

_SampleKey = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels."""


def read_default_registry() -> list[MetricFamily]:
    """Return the metrics of the code in this process, without the client library's own ones about the process."""
    library = sys.modules.get("prometheus_client")
    if library is None:
        return []
    own = (library.PROCESS_COLLECTOR, library.PLATFORM_COLLECTOR, library.GC_COLLECTOR)
    own_names = {family.name for collector in own for family in collector.collect()}
    return [
        MetricFamily(
            family.name,
            family.documentation,
            family.type,
            family.unit,
            [MetricSample(sample.name, dict(sample.labels), float(sample.value)) for sample in family.samples],
        )
        for family in library.REGISTRY.collect()
        if family.name not in own_names
    ]


class WorkerMetrics:
    """Collector for `prometheus_client.REGISTRY` of the server. `collect` is called in any thread."""

    def __init__(self) -> None:
        self._pools: list[WorkerPool] = []
        self._families: list[MetricFamily] = []
        """The latest merged metrics."""
        self._ended: list[MetricFamily] = []
        """Sums of the workers that have ended."""

    def add(self, pool: WorkerPool) -> None:
        """Include the workers of a pool in each scrape."""
        from prometheus_client import REGISTRY  # noqa: PLC0415 - only servers with worker processes need it here

        self._loop = asyncio.get_running_loop()
        pool.on_ended = self._add_ended
        if not self._pools:
            REGISTRY.register(self)  # type: ignore[arg-type] # a collector needs no base class
        self._pools = [*self._pools, pool]

    def remove(self, pool: WorkerPool) -> None:
        """Forget a pool, unless it is not included."""
        from prometheus_client import REGISTRY  # noqa: PLC0415 - as above

        if pool in self._pools:
            self._pools = [other for other in self._pools if other is not pool]
            if not self._pools:
                self._families, self._ended = [], []
                REGISTRY.unregister(self)  # type: ignore[arg-type] # as above

    def describe(self) -> Iterable[object]:
        """Return nothing: the names are not known before the code registers them."""
        return ()

    def collect(self) -> Iterator[object]:
        """Yield the metrics of all workers. Blocks for up to COLLECT_TIMEOUT, unless the event loop calls it."""
        from prometheus_client.metrics_core import Metric  # noqa: PLC0415 - as above

        for family in self._latest_families():
            metric = Metric(family.name, family.documentation, family.type, family.unit)
            for sample in family.samples:
                metric.add_sample(sample.name, sample.labels, sample.value)
            yield metric

    def _latest_families(self) -> list[MetricFamily]:
        """Return the merged metrics. They are merged on the event loop, where no worker can end in between."""
        try:
            is_loop_thread = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_loop_thread = False
        if is_loop_thread:
            self._families = self._merge()
        elif self._loop.is_running():
            future = asyncio.run_coroutine_threadsafe(self._ask_workers(), self._loop)
            try:
                future.result(2 * COLLECT_TIMEOUT)
            except TimeoutError:  # the event loop is blocked
                future.cancel()
        return self._families

    async def _ask_workers(self) -> None:
        workers = [worker for pool in self._pools for worker in pool.running if worker.loaded]
        tasks = [asyncio.create_task(worker.collect_metrics()) for worker in workers]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=COLLECT_TIMEOUT)
            for task in late:
                task.cancel()
        self._families = self._merge()

    def _merge(self) -> list[MetricFamily]:
        is_single = len(self._pools) == 1
        workers = [
            (str(worker.number) if is_single else f"{pool.name} {worker.number}", worker.metrics)
            for pool in self._pools
            for worker in pool.running
        ]
        return merge_families(workers, self._ended)

    def _add_ended(self, worker: WorkerProcess) -> None:
        """Keep the counts of a worker that has ended."""
        additive = [family for family in worker.metrics if family.type in _ADDITIVE_TYPES]
        self._ended = merge_families([("", additive)], self._ended)


worker_metrics: Final = WorkerMetrics()
"""The only collector, because there is only one default registry."""


def merge_families(
    workers: Sequence[tuple[str, Sequence[MetricFamily]]], ended: Iterable[MetricFamily]
) -> list[MetricFamily]:
    """Merge the families of workers, each with its label, and of workers that have ended."""
    merged: dict[str, tuple[MetricFamily, dict[_SampleKey, float]]] = {}
    for label, families in [*workers, ("", list(ended))]:
        for family in families:
            _, samples = merged.setdefault(family.name, (family, {}))
            is_additive = family.type in _ADDITIVE_TYPES
            for sample in family.samples:
                labels = sample.labels if is_additive else {**sample.labels, WORKER_LABEL: label}
                key = sample.name, tuple(labels.items())
                if sample.name.endswith("_created"):
                    samples[key] = min(samples.get(key, sample.value), sample.value)
                elif is_additive:
                    samples[key] = samples.get(key, 0.0) + sample.value
                else:  # a worker and its successor have the same label for a moment
                    samples[key] = sample.value
    return [
        MetricFamily(
            family.name,
            family.documentation,
            family.type,
            family.unit,
            [MetricSample(name, dict(labels), value) for (name, labels), value in samples.items()],
        )
        for family, samples in merged.values()
    ]
