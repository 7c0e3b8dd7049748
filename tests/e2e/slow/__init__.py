"""Slow tests on a real cluster: operations and failures under load, with measured results: `make test-e2e-slow`."""
