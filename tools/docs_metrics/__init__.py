"""Generator of docs/reference/metrics.md."""
