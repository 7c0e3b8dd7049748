"""What may differ from one fleet to another. Texts, so that the chart's file can have placeholders in their places."""

import dataclasses
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameters:
    """The objectives, and which series they are about."""

    availability: str = "99.9"
    """Questions in a hundred that are not answered with 5xx; above 93, or the fastest alert could not fire."""
    latency: str = "99"
    """Answers in a hundred that come within `threshold`."""
    threshold: str = "0.25"
    """Seconds, one of the edges of `ASKD_LATENCY_BUCKETS`, written as Prometheus does: with a point."""
    selector: str = ""
    """Matchers of the fleet's series, each with a comma behind it; empty: everything that is askd."""
    autoscaler: str = 'horizontalpodautoscaler=~".*askd.*"'
    """Matchers of the fleet's HorizontalPodAutoscaler in the series of kube-state-metrics."""
    runbooks: str = "docs/runbooks"
    """Where docs/runbooks is to be read."""
    scale: float = 1.0
    """By how much all windows and waits are shorter than they should be: for trying alerts out."""

    def span(self, seconds: float) -> str:
        """Write a duration as Prometheus does, scaled."""
        left = round(seconds * 1000 / self.scale)
        text = ""
        for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
            count, left = divmod(left, size)
            text += f"{count}{unit}" if count else ""
        return text or "0s"

    def series(self, name: str, *matchers: str) -> str:
        """Select the fleet's series of a name."""
        text = self.selector + ",".join(matchers)
        return f"{name}{{{text}}}" if text else name


PLACEHOLDERS: Final = Parameters(
    **{name: f"@{name}@" for name in ("availability", "latency", "threshold", "selector", "autoscaler", "runbooks")}  # type: ignore[arg-type]  # none is `scale`
)
"""What the chart puts its values in place of."""
