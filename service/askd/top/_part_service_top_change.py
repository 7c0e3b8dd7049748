"""What two scrapes of a server say together: how much came between them, and how long it took."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service.top.sample import Sample


class Change(NamedTuple):
    """From one scrape to the next. Rates are per second, times in seconds; NaN: nothing came that would tell."""

    rate: float
    failed: float
    p50: float
    p99: float
    """Infinite where it is above the last bucket's bound."""
    shed: float
    hits: float
    """Share of look-ups in the cache that found something, 0 to 1."""


def change(before: Sample, after: Sample) -> Change:
    """Compare two scrapes; a server that was started anew in between counts from its start."""
    if after.started > before.started or after.requests < before.requests:
        before = _NOTHING._replace(at=before.at)
    seconds = max(after.at - before.at, 1e-9)
    buckets = {bound: max(count - before.buckets.get(bound, 0.0), 0.0) for bound, count in after.buckets.items()}
    looked_up = after.looked_up - before.looked_up
    return Change(
        rate=(after.requests - before.requests) / seconds,
        failed=max(after.failed - before.failed, 0.0) / seconds,
        p50=quantile(0.5, buckets),
        p99=quantile(0.99, buckets),
        shed=max(after.shed - before.shed, 0.0) / seconds,
        hits=(after.hits - before.hits) / looked_up if looked_up > 0 else math.nan,
    )


def quantile(share: float, buckets: Mapping[float, float]) -> float:
    """Return the time that this share of the requests did not exceed, as Prometheus' `histogram_quantile` does.

    Within a bucket they are taken to lie evenly. NaN: there were none; infinite: it lies above the last bound.
    """
    rows: Sequence[tuple[float, float]] = sorted(buckets.items())
    count = rows[-1][1] if rows else 0.0
    if count <= 0:
        return math.nan
    rank, lower, below = share * count, 0.0, 0.0
    for bound, upto in rows:
        if upto >= rank and upto > below:
            return bound if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (upto - below)
        lower, below = bound, upto
    return math.nan


_NOTHING = Sample(0.0, 0.0, 0.0, 0.0, {}, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, "", "")
