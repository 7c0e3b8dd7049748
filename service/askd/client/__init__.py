"""HTTP client for `askd ask`, `askd explain` and `askd top`, which reports the step at which a request failed."""
