"""State that replicas share through Redis or Valkey: rate limits and cached answers.

No request may fail because of Redis: while it is slow or unavailable, each replica uses its own rate limits and cache.
No other package imports redis.
"""
