"""Rules, alerts and the dashboard: made here, tried with the real Prometheus. `python -m tests.rules` writes them."""
