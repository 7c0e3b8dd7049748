"""What each metric is for: its unit, and the question that it answers. A metric that stands here nowhere is a fault.

Names are those of queries. The order is that of an exchange, and of docs/metrics.md.
"""

from typing import Final, NamedTuple


class Meaning(NamedTuple):
    """What the code does not say of a metric."""

    unit: str
    question: str
    on: str = ""
    """With which setting or answerer it is there; empty: always."""


_BOOK: Final = "a book that is a file or a folder"
_THREADS: Final = "synchronous code"
_REMOTE: Final = "a remote answerer"
_TOKENS: Final = "`ASKD_TOKENS_FILE`"
_TLS: Final = "`ASKD_TLS_CERT`"
_RATE: Final = "`ASKD_RATE`"
_REDIS: Final = "`ASKD_REDIS_URL`"

GROUPS: Final[dict[str, dict[str, Meaning]]] = {
    "Asked and answered": {
        "askd_requests_total": Meaning("exchanges", "How much is asked, and how much of it fails?"),
        "askd_request_duration_seconds": Meaning("seconds", "How long does a client wait?"),
        "askd_in_flight": Meaning("exchanges", "How much is under way now?"),
    },
    "Connections": {
        "askd_connections": Meaning("connections", "How many clients hold a connection now?"),
        "askd_connections_limit": Meaning("connections", "How many may?"),
        "askd_connections_closed_total": Meaning("connections", "Why do connections end: slow, idle, old, too many?"),
    },
    "Let in or refused": {
        "askd_unauthorized_total": Meaning(
            "requests", "Who is not let in: without a token, or with a wrong one?", _TOKENS
        ),
        "askd_caller_requests_total": Meaning("requests", "Who asks how much?", _TOKENS),
        "askd_tokens": Meaning("tokens", "How many may ask?", _TOKENS),
        "askd_tokens_reloads_total": Meaning("reloads", "Did a new tokens file come into force?", _TOKENS),
        "askd_tokens_last_reload_successful": Meaning("1 or 0", "Are the tokens in force those of the file?", _TOKENS),
        "askd_rate_results_total": Meaning("questions", "How many are beyond their client's rate?", _RATE),
        "askd_rate_clients": Meaning("clients", "How many clients are kept in mind?", _RATE),
        "askd_rate_evictions_total": Meaning("clients", "Are there more clients than can be held to a rate?", _RATE),
        "askd_shed_total": Meaning("questions", "Is it overloaded, and by which sign?"),
    },
    "At hand": {
        "askd_cache_results_total": Meaning("look-ups", "How much does the cache save?"),
        "askd_cache_evictions_total": Meaning("answers", "Is the cache too small?"),
        "askd_cache_entries": Meaning("answers", "How full is the cache?"),
        "askd_cache_bytes": Meaning("bytes", "How full is the cache?"),
        "askd_cache_capacity_bytes": Meaning("bytes", "How large may the cache become?"),
        "askd_flight_results_total": Meaning("questions", "How many share a call with another that asks the same?"),
        "askd_redis_up": Meaning("1 or 0", "Do the replicas share rates and answers now?", _REDIS),
        "askd_redis_requests_total": Meaning("commands", "Does Redis answer, and in time?", _REDIS),
    },
    "Queue and limit": {
        "askd_concurrency_limit": Meaning("questions", "How much may be in the code at once?"),
        "askd_answerer_in_flight": Meaning("questions", "How much of the limit is used now?"),
        "askd_inflight_seconds_total": Meaning("question-seconds", "How much of the limit is used on average?"),
        "askd_answerer_abandoned": Meaning("calls", "How many places are held by calls that nobody waits for?"),
        "askd_queue": Meaning("questions", "How many wait for a place?"),
        "askd_queue_limit": Meaning("questions", "How many may wait before others are shed?"),
        "askd_queue_delay_seconds": Meaning("seconds", "How long do they wait on average?"),
    },
    "Code": {
        "askd_answerer_duration_seconds": Meaning("seconds", "How long does the code take, and does it fail?"),
        "askd_answerer_info": Meaning("1", "What is served, and do all replicas serve the same?"),
        "askd_threads": Meaning("threads", "How many calls of synchronous code run at once?", _THREADS),
        "askd_threads_busy": Meaning("threads", "How many threads are in use?", _THREADS),
        "askd_threads_queued": Meaning("calls", "Is a thread what a question waits for?", _THREADS),
        "askd_book_entries": Meaning("entries", "How large is the book?", _BOOK),
        "askd_book_reloads_total": Meaning("reloads", "Did a new book come into force?", _BOOK),
        "askd_book_last_reload_successful": Meaning("1 or 0", "Is what is served the book on the disk?", _BOOK),
        "askd_upstream_requests_total": Meaning("requests", "Does the server that answers answer?", _REMOTE),
        "askd_upstream_circuit_state": Meaning("1 or 0", "Is the server that answers being asked?", _REMOTE),
        "askd_upstream_circuit_openings_total": Meaning("openings", "How often was it given up?", _REMOTE),
    },
    "Process": {
        "askd_ready": Meaning("1 or 0", "Should questions be sent here?"),
        "askd_draining": Meaning("1 or 0", "Is it about to stop?"),
        "askd_event_loop_lag_seconds": Meaning("seconds", "Does code hold the event loop up?"),
        "askd_log_lines_dropped_total": Meaning("lines", "Does what reads the log keep up?"),
        "askd_tls_certificate_expiry_timestamp_seconds": Meaning(
            "seconds since 1970", "When does the certificate end?", _TLS
        ),
        "askd_tls_reloads_total": Meaning("reloads", "Did a renewed certificate come into force?", _TLS),
        "askd_tls_last_reload_successful": Meaning(
            "1 or 0", "Is the certificate that is shown that of the file?", _TLS
        ),
        "askd_build_info": Meaning("1", "Which version of askd runs, and where?"),
    },
}

MEANINGS: Final = {name: meaning for group in GROUPS.values() for name, meaning in group.items()}

OPEN_LABELS: Final = {
    "route": "the route's template; every path that is none is `unmatched`, what is no HTTP `malformed`",
    "method": "the known methods; every other is `other`",
    "code": "the HTTP status that was sent; 499 where the client had left. Code of yours may refuse with any 4xx",
    "caller": "the names of the tokens in force: as many as the operator gave",
    "kind": "the kind of answerer: `book`, `function`, `graph`, `remote`, or what a package adds; one a process",
    "version": "one a process: of askd in `askd_build_info`, of what is served in `askd_answerer_info`",
}
"""Labels of which a scrape does not show every value, and what bounds them. The others have all their values at 0."""
