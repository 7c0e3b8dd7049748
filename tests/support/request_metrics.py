"""Reads the request metrics of an app."""

from prometheus_client import CollectorRegistry

from askd.telemetry.metrics import REQUEST_DURATION


def request_labels(*, route: str, method: str, status: int | str) -> dict[str, str]:
    """Return the labels of a series of request metrics."""
    return {"http_route": route, "http_request_method": method, "http_response_status_code": str(status)}


def request_count(registry: CollectorRegistry, *, route: str, method: str, status: int | str) -> float | None:
    """Return the number of requests with these labels, or None if the series does not exist."""
    labels = request_labels(route=route, method=method, status=status)
    return registry.get_sample_value(f"{REQUEST_DURATION}_count", labels)
