"""Comparison of askd with other servers: `make bench`. The test suite does not run it."""
