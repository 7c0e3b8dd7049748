"""Alert rules and the dashboard: `python -m tools.monitoring` writes the files, the tests try them with Prometheus."""
