"""The guards under load: `make test-process`. Real processes, real sockets, bounded load, on loopback alone."""
