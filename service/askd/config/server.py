"""Settings of the process: authentication, connections, listeners, logging, health checks and shutdown."""

import dataclasses
from typing import Final

from askd.config import fields
from askd.config.fields import setting

DEFAULT_PORT: Final = 2024
DEFAULT_LATENCY_BUCKETS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of the process."""

    @property
    def main_port(self) -> int:
        """Port for requests: the configured one, or the default, which is the first port that is tried."""
        return DEFAULT_PORT if self.port is None else self.port

    tokens_file: str | None = setting(
        None,
        fields.string,
        "File with a line `name: SHA-256 of the token in hex` for each client, or a folder of such files; requests "
        "without a valid token are rejected. Unset: no authentication.",
        group="Authentication and TLS",
    )
    docs_require_token: bool = setting(
        False, fields.boolean, "Require a token for /docs, /openapi.json and / as well.", group="Authentication and TLS"
    )
    tls_cert: str | None = setting(
        None,
        fields.string,
        "PEM file with the certificate and its chain, to serve HTTPS; it is reloaded when it changes. Unset: HTTP.",
        group="Authentication and TLS",
    )
    tls_key: str | None = setting(
        None, fields.string, "PEM file with the private key of the certificate.", group="Authentication and TLS"
    )
    max_connections: int = setting(
        1000,
        fields.integer(1, 100_000),
        "Maximum number of open connections. At the limit, connections that have sent no request are closed first, "
        "then idle ones.",
        group="Connections",
    )
    head_max_size: int = setting(
        64 << 10,
        fields.size(1 << 10, 1 << 20),
        "Maximum size of the request line and the headers of a request together; larger ones get 431.",
        group="Connections",
    )
    unsent_max_size: int = setting(
        32 << 20,
        fields.size(1 << 20, 1 << 40),
        "Maximum size of all responses together that clients have not read yet. Beyond it, the connections that have "
        "not read for the longest time are closed; a single response may be larger.",
        group="Connections",
    )
    header_timeout: float = setting(
        10.0,
        fields.duration(0.1, 3600.0),
        "Maximum time to receive the headers of a request, and for a new connection to start its first request.",
        group="Connections",
    )
    body_timeout: float = setting(
        5.0, fields.duration(0.1, 3600.0), "Maximum time to receive the body of a request.", group="Connections"
    )
    write_timeout: float = setting(
        20.0,
        fields.duration(0.1, 3600.0),
        "Maximum time for which a client may stop reading its response before the connection is closed.",
        group="Connections",
    )
    keepalive_timeout: float = setting(
        75.0,
        fields.duration(0.1, 86400.0),
        "Maximum idle time of a keep-alive connection. Use more than the proxy in front of askd, so that the proxy "
        "closes first.",
        group="Connections",
    )
    connection_max_age: float = setting(
        300.0,
        fields.duration(0.0, 86400.0),
        "Age, randomized by 10 %, at which a connection is closed after its next response, so that clients also "
        "connect to new replicas (0 disables the limit).",
        group="Connections",
    )
    host: str = setting(
        "127.0.0.1",
        fields.string,
        "Address to listen on. 0.0.0.0 listens on every IPv4 address, :: on every IPv4 and IPv6 address; the default "
        "is reachable from this machine only.",
        group="Listen",
    )
    port: int | None = setting(
        None,
        fields.integer(0, 65535),
        "Port for requests (0 picks a free port and logs it). Unset: the variable PORT, which platforms set, else "
        "2024, or the next free port if it is in use.",
        group="Listen",
    )
    ops_port: int | None = setting(
        None,
        fields.integer(0, 65535),
        "Separate port for metrics and health checks, served by a separate thread (0 picks a free port). Unset: they "
        "are on the port for requests.",
        group="Listen",
    )
    prefix: str = setting(
        "",
        fields.path,
        "Path prefix of every endpoint except metrics and health checks, such as /answers. Unset: no prefix.",
        group="Listen",
    )
    formats: tuple[str, ...] = setting(
        ("ask", "mcp", "openai"),
        fields.choices("ask", "mcp", "openai"),
        "Formats to serve, separated by commas: ask (/ask), mcp (Model Context Protocol at /mcp) and openai (chat "
        "completions at /v1).",
        group="Listen",
    )
    mcp_secret: str | None = setting(
        None,
        fields.string,
        "Secret that signs the state of MCP calls that wait for input. Replicas need the same one. Unset: each process "
        "makes its own, so that a client must send its reply to the process that asked.",
        group="Listen",
        secret=True,
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        fields.origins,
        "Origins of web pages that may send requests from a browser, separated by commas (* allows all). Unset: none.",
        group="Listen",
    )
    log_level: str = setting(
        "info",
        fields.choice("debug", "info", "warning", "error"),
        "Minimum level of log lines.",
        group="Logging and metrics",
    )
    log_format: str = setting(
        "auto",
        fields.choice("auto", "json", "console"),
        "Format of log lines; auto is console on a terminal and json otherwise.",
        group="Logging and metrics",
    )
    log_questions: bool = setting(
        False,
        fields.boolean,
        "Log the text of questions. Off by default, because questions may contain personal data.",
        group="Logging and metrics",
    )
    log_unanswered: bool = setting(
        False,
        fields.boolean,
        "Log the text of questions to which a book has no answer, with suggestions. Off by default, because questions "
        "may contain personal data.",
        group="Logging and metrics",
    )
    log_sample: float = setting(
        1.0,
        fields.fraction,
        "Share of requests with status 200 that is logged, from 0 to 1. Their lines include the share, so that counts "
        "can be scaled; other requests are always logged, and metrics and traces are not sampled.",
        group="Logging and metrics",
    )
    debug: bool = setting(
        False,
        fields.boolean,
        "Serve POST /debug/stacks on the ops port, which logs the stacks of all threads and tasks, as kill -USR1 "
        "always does.",
        group="Logging and metrics",
    )
    latency_buckets: tuple[float, ...] = setting(
        DEFAULT_LATENCY_BUCKETS,
        fields.bucket_bounds,
        "Upper bounds of the buckets of latency histograms, in ascending order, separated by commas.",
        group="Logging and metrics",
    )
    stall_timeout: float = setting(
        30.0,
        fields.duration(6.0, 3600.0),
        "Time after which a blocked event loop fails the liveness check; readiness fails after 5s.",
        group="Health and shutdown",
    )
    stall_dump_after: float = setting(
        5.0,
        fields.duration(0.5, 3600.0),
        "Time after which a blocked event loop has the stacks of all threads and tasks logged, once.",
        group="Health and shutdown",
    )
    drain_delay: float = setting(
        2.0,
        fields.duration(0.0, 600.0),
        "Time after SIGTERM in which askd still accepts connections and its readiness check returns 503, until load "
        "balancers stop sending requests.",
        group="Health and shutdown",
    )
    drain_timeout: float | None = setting(
        None,
        fields.duration(0.0, 3600.0),
        "Maximum time to wait for requests in flight after the drain delay. Unset: the deadline plus 5s.",
        group="Health and shutdown",
    )
    shutdown_timeout: float = setting(
        5.0, fields.duration(0.0, 600.0), "Maximum time for the answerer to close.", group="Health and shutdown"
    )
    flush_timeout: float = setting(
        2.0,
        fields.duration(0.0, 60.0),
        "Maximum time to flush logs and traces.",
        group="Health and shutdown",
    )
