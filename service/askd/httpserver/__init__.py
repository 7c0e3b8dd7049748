"""HTTP server: connections, sockets, TLS, routing and response serialization."""
