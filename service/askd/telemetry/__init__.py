"""Logs, metrics and health: what is seen of the server."""
