"""Measures askd against other servers: `make bench`. It measures, and decides nothing: the suite does not run it."""
