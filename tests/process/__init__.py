"""The real process, over real sockets and signals."""
