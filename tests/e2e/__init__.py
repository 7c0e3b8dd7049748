"""Tests against a real cluster: `make test-cluster` the short run, `make proof` all."""
