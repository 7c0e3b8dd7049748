"""Tests against a real cluster: `make test-e2e` runs the fast ones, `make test-e2e-slow` all."""
