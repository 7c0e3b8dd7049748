"""Parameters that differ between fleets. They are strings, so that the chart's files can have placeholders for them."""

import dataclasses
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameters:
    """Objectives, and the series that they apply to."""

    availability: str = "99.9"
    """Percentage of requests to /ask without a 5xx. Above 93: below, the fastest alert could never fire."""
    latency: str = "99"
    """Percentage of answers within `threshold`."""
    threshold: str = "0.25"
    """Seconds; a bound of `ASKD_LATENCY_BUCKETS`, written as Prometheus does, with a decimal point."""
    selector: str = ""
    """Matchers of the fleet's series, each followed by a comma; empty selects every askd."""
    autoscaler: str = 'horizontalpodautoscaler=~".*askd.*"'
    """Matchers of the fleet's HorizontalPodAutoscaler in the series of kube-state-metrics."""
    runbooks: str = ""
    """URL at which docs/runbooks is published; empty leaves `runbook_url` out."""
    critical: str = "critical"
    """Severity of alerts that need action now."""
    warning: str = "warning"
    """Severity of alerts that need action within days."""
    uid: str = "askd"
    """Id of the dashboard in Grafana."""
    title: str = "askd"
    """Title of the dashboard."""
    namespace: str = ""
    """Namespace that the dashboard selects at first; empty selects all."""
    scale: float = 1.0
    """Factor by which all windows and waiting times are shortened, to try alerts out."""

    def duration(self, seconds: float) -> str:
        """Return a scaled duration in Prometheus' notation."""
        remainder = round(seconds * 1000 / self.scale)
        text = ""
        for unit, milliseconds in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
            count, remainder = divmod(remainder, milliseconds)
            text += f"{count}{unit}" if count else ""
        return text or "0s"

    def select(self, name: str, *matchers: str) -> str:
        """Return a selector for the fleet's series of this name."""
        text = self.selector + ",".join(matchers)
        return f"{name}{{{text}}}" if text else name


_TEXT_FIELDS: Final = [field.name for field in dataclasses.fields(Parameters) if isinstance(field.default, str)]
PLACEHOLDERS: Final = Parameters(**{name: f"@{name}@" for name in _TEXT_FIELDS})  # type: ignore[arg-type]  # none is `scale`
"""Parameters for the chart's files; its templates replace them by values."""
