"""Unit and purpose of each metric, in the order of docs/reference/metrics.md. The tests fail if one is missing.

Names are those of queries: counters end in `_total`.
"""

from typing import Final, NamedTuple


class MetricDescription(NamedTuple):
    """What a scrape does not contain about a metric."""

    unit: str
    question: str
    """The question that the metric answers."""
    requires: str = ""
    """Setting or kind of answerer without which the metric is missing; empty if it always exists."""


_BOOK: Final = "a book that is a file or a folder"
_THREADS: Final = "synchronous code"
_REMOTE: Final = "a remote answerer"
_PROCESSES: Final = "`ASKD_PROCESSES`"
_TOKENS: Final = "`ASKD_TOKENS_FILE`"
_TLS: Final = "`ASKD_TLS_CERT`"
_RATE_LIMIT: Final = "`ASKD_RATE_LIMIT`"
_REDIS: Final = "`ASKD_REDIS_URL`"

GROUPS: Final[dict[str, dict[str, MetricDescription]]] = {
    "Requests": {
        "http_server_request_duration_seconds": MetricDescription(
            "seconds", "How many requests are there, how many fail, and how long does a client wait?"
        ),
        "http_server_active_requests": MetricDescription("requests", "How many requests are in flight?"),
    },
    "Connections": {
        "askd_connections": MetricDescription("connections", "How many connections do clients hold?"),
        "askd_connection_accept_delay_seconds": MetricDescription(
            "seconds", "How long do connections wait in the kernel before the server accepts them?"
        ),
        "askd_accept_queue_length": MetricDescription(
            "connections", "How many connections wait in the kernel at this moment?"
        ),
        "askd_accept_pauses_total": MetricDescription(
            "pauses", "How often did file descriptors or memory for another connection run out?"
        ),
        "askd_connections_limit": MetricDescription("connections", "How many connections may they hold?"),
        "askd_connections_closed_total": MetricDescription(
            "connections", "Why does the server close connections: slow, idle, too old or too many?"
        ),
    },
    "Authentication, rate limit and load shedding": {
        "askd_unauthorized_total": MetricDescription(
            "requests", "How many requests come without a token, or with an unknown one?", _TOKENS
        ),
        "askd_caller_requests_total": MetricDescription("requests", "Which caller sends how many requests?", _TOKENS),
        "askd_tokens": MetricDescription("tokens", "How many tokens are valid?", _TOKENS),
        "askd_tokens_reloads_total": MetricDescription("reloads", "Was a changed token file loaded?", _TOKENS),
        "askd_tokens_last_reload_successful": MetricDescription(
            "1 or 0", "Are the tokens in use those of the file?", _TOKENS
        ),
        "askd_rate_limit_decisions_total": MetricDescription(
            "requests", "How many requests exceed the rate limit?", _RATE_LIMIT
        ),
        "askd_rate_limit_clients": MetricDescription("clients", "How many clients are tracked?", _RATE_LIMIT),
        "askd_rate_limit_evictions_total": MetricDescription(
            "clients", "Are there more clients than can be tracked?", _RATE_LIMIT
        ),
        "askd_shed_total": MetricDescription("requests", "Is the server overloaded, and how was that detected?"),
        "askd_clients_left_queue_total": MetricDescription(
            "requests", "How many clients give up before their request is handled?"
        ),
    },
    "Cache, single flight and Redis": {
        "askd_cache_lookups_total": MetricDescription("lookups", "How many calls of the answerer does the cache save?"),
        "askd_cache_evictions_total": MetricDescription("answers", "Is the cache too small?"),
        "askd_cache_entries": MetricDescription("answers", "How many answers are cached?"),
        "askd_cache_bytes": MetricDescription("bytes", "How full is the cache?"),
        "askd_cache_capacity_bytes": MetricDescription("bytes", "How large may the cache become?"),
        "askd_single_flight_total": MetricDescription(
            "requests", "How many requests share the call of an identical request?"
        ),
        "askd_redis_up": MetricDescription("1 or 0", "Do the replicas share rate limits and cache now?", _REDIS),
        "askd_redis_requests_total": MetricDescription("commands", "Does Redis respond, and in time?", _REDIS),
    },
    "Queue and concurrency limit": {
        "askd_concurrency_limit": MetricDescription("calls", "How many calls of the answerer may run at once?"),
        "askd_answerer_in_flight": MetricDescription("calls", "How much of the limit is in use now?"),
        "askd_in_flight_seconds_total": MetricDescription(
            "call-seconds", "How much of the limit is in use on average?"
        ),
        "askd_answerer_abandoned": MetricDescription("calls", "How many permits are held by detached calls?"),
        "askd_queue_length": MetricDescription("requests", "How many requests wait for a permit?"),
        "askd_queue_limit": MetricDescription("requests", "How many may wait before others are shed?"),
        "askd_queue_delay_seconds": MetricDescription("seconds", "How long do requests wait on average?"),
    },
    "Answerer": {
        "askd_answerer_duration_seconds": MetricDescription(
            "seconds", "How long do calls of the answerer take, and do they fail?"
        ),
        "askd_answerer_info": MetricDescription("1", "Do all replicas serve the same answerer?"),
        "askd_thread_pool_size": MetricDescription(
            "threads", "How many calls of synchronous code may run at once?", _THREADS
        ),
        "askd_thread_pool_busy": MetricDescription("threads", "How many threads are in use?", _THREADS),
        "askd_thread_pool_queue_length": MetricDescription("calls", "Do calls wait for a thread?", _THREADS),
        "askd_worker_processes": MetricDescription("processes", "How many worker processes are loaded?", _PROCESSES),
        "askd_worker_processes_busy": MetricDescription("processes", "How many of them have a call?", _PROCESSES),
        "askd_worker_memory_bytes": MetricDescription("bytes", "How much memory do they use together?", _PROCESSES),
        "askd_worker_exits_total": MetricDescription(
            "processes", "Does the code crash (`died`), hang (`killed`) or grow (`max_memory`)?", _PROCESSES
        ),
        "askd_book_entries": MetricDescription("entries", "How large is the book?", _BOOK),
        "askd_book_reloads_total": MetricDescription("reloads", "Was a changed book loaded?", _BOOK),
        "askd_book_last_reload_successful": MetricDescription("1 or 0", "Is the book in use the one on disk?", _BOOK),
        "askd_upstream_requests_total": MetricDescription("requests", "Does the upstream server respond?", _REMOTE),
        "askd_upstream_circuit_state": MetricDescription(
            "1 or 0", "Are requests sent to the upstream server?", _REMOTE
        ),
        "askd_upstream_circuit_openings_total": MetricDescription(
            "openings", "How often did the upstream server become unavailable?", _REMOTE
        ),
    },
    "Process": {
        "askd_ready": MetricDescription("1 or 0", "Should this replica get requests?"),
        "askd_draining": MetricDescription("1 or 0", "Is this replica shutting down?"),
        "askd_event_loop_lag_seconds": MetricDescription("seconds", "Does code block the event loop?"),
        "askd_log_lines_dropped_total": MetricDescription("lines", "Is the reader of the log fast enough?"),
        "askd_tls_certificate_expiry_timestamp_seconds": MetricDescription(
            "seconds since 1970", "When does the certificate expire?", _TLS
        ),
        "askd_tls_reloads_total": MetricDescription("reloads", "Was a renewed certificate loaded?", _TLS),
        "askd_tls_last_reload_successful": MetricDescription(
            "1 or 0", "Is the certificate in use the one on disk?", _TLS
        ),
        "askd_build_info": MetricDescription("1", "Which version of askd is running, and where?"),
    },
}

DESCRIPTIONS: Final = {name: description for group in GROUPS.values() for name, description in group.items()}

OPEN_LABELS: Final = {
    "http_route": "template of the route; `unmatched` for unknown paths, `malformed` for requests that are not HTTP",
    "http_request_method": "known methods; `_OTHER` for all others",
    "http_response_status_code": (
        "HTTP status; 499 if the client disconnected before the response. User code may choose any other 4xx"
    ),
    "caller": "names of the valid tokens",
    "kind": "kind of the answerer: `book`, `function`, `graph`, `remote`, or that of a plugin; one per process",
    "version": "one per process: of askd in `askd_build_info`, of the answerer in `askd_answerer_info`",
}
"""Labels whose values are not all in a first scrape, and what limits them. All values of other labels start at 0."""
