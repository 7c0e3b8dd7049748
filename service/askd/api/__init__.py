"""Where aiohttp lives: thin handlers, middlewares and pages."""
