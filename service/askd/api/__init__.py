"""HTTP API: request handlers, middleware, OpenAPI document and HTML pages."""
