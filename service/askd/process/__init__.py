"""One server process: listeners, signals, start banner, ops server and graceful shutdown."""
