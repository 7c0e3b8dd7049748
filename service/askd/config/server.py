"""Settings of the process: where it listens, who may come, what it logs, and how it stops."""

import dataclasses
from typing import Final

from service import units
from service.settings.manual import setting

DEFAULT_PORT: Final = 2024
LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Process:
    """Access, connections, addresses, the log and the end."""

    @property
    def main_port(self) -> int:
        """The port for questions: the explicit one, or the default, which is the first that is tried."""
        return DEFAULT_PORT if self.port is None else self.port

    tokens_file: str | None = setting(
        None,
        units.text,
        "File with a line `name: hex of the token's SHA-256` for each who may ask, or a folder of such files. Unset: "
        "anybody may ask.",
        group="access",
    )
    docs_need_token: bool = setting(
        False, units.boolean, "Ask for a token at /docs, /openapi.json and / as well.", group="access"
    )
    tls_cert: str | None = setting(
        None,
        units.text,
        "File with the certificate and its chain, PEM, to serve HTTPS; read again when it changes. Unset: HTTP.",
        group="access",
    )
    tls_key: str | None = setting(None, units.text, "File with the certificate's private key, PEM.", group="access")
    max_connections: int = setting(
        1000,
        units.whole(1, 100_000),
        "Connections at once; beyond, those that never asked are closed first, then idle ones.",
        group="connections",
    )
    header_timeout: float = setting(
        10.0,
        units.duration(0.1, 3600.0),
        "Longest time for the headers of a request, and for a new connection to begin one.",
        group="connections",
    )
    body_timeout: float = setting(
        5.0, units.duration(0.1, 3600.0), "Longest time for the body of a request.", group="connections"
    )
    write_timeout: float = setting(
        20.0,
        units.duration(0.1, 3600.0),
        "A connection whose client takes none of its answer for so long is closed.",
        group="connections",
    )
    keepalive: float = setting(
        75.0,
        units.duration(0.1, 86400.0),
        "Longest time for which an idle connection is kept: more than a proxy's before askd, so that it closes first.",
        group="connections",
    )
    connection_max_age: float = setting(
        300.0,
        units.duration(0.0, 86400.0),
        "Age at which a connection, within 10 % by chance, ends with its next answer, so that new replicas get their "
        "share; 0: no end.",
        group="connections",
    )
    door: bool = setting(
        True,
        units.boolean,
        "Answer questions where their bytes arrive, where that can be; off is for comparison.",
        group="connections",
    )
    host: str = setting(
        "127.0.0.1",
        units.text,
        "Address to listen on. 0.0.0.0 is every IPv4 address, :: every address of both families. The default is "
        "reached from this machine only.",
        group="listen",
    )
    port: int | None = setting(
        None,
        units.whole(0, 65535),
        "Port for questions; 0 takes a free one and logs which. Unset: 2024, or the next free port if that is taken.",
        group="listen",
    )
    ops_port: int | None = setting(
        None,
        units.whole(0, 65535),
        "Port of its own for metrics and probes, served by a thread of its own. Unset: the port for questions.",
        group="listen",
    )
    prefix: str = setting(
        "",
        units.path,
        "Path below which everything but metrics and probes is served, such as /answers.",
        group="listen",
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        units.origins,
        "Origins whose pages may ask from a browser, separated by commas; * is any. Unset: none.",
        group="listen",
    )
    log_level: str = setting(
        "info", units.choice("debug", "info", "warning", "error"), "Least level that is logged.", group="log"
    )
    log_format: str = setting(
        "auto",
        units.choice("auto", "json", "console"),
        "json, console, or auto: console on a terminal, else json.",
        group="log",
    )
    log_questions: bool = setting(
        False, units.boolean, "Log the text of questions. Off, because questions may be private.", group="log"
    )
    log_sample: float = setting(
        1.0,
        units.share,
        "Share of the exchanges with status 200 that are logged; their lines carry it as `sample`, so that counts can "
        "be scaled. All others are always logged; metrics and traces are of all.",
        group="log",
    )
    debug: bool = setting(
        False,
        units.boolean,
        "Have POST /debug/stacks on the ops port log the stacks of all threads and tasks, as kill -USR1 always does.",
        group="log",
    )
    latency_buckets: tuple[float, ...] = setting(
        LATENCY_BUCKETS, units.buckets, "Upper edges of the latency histograms' buckets, rising durations.", group="log"
    )
    stall_limit: float = setting(
        30.0,
        units.duration(6.0, 3600.0),
        "Liveness fails when the main loop has not moved for so long; readiness fails after 5s of that.",
        group="stop",
    )
    stall_dump: float = setting(
        5.0,
        units.duration(0.5, 3600.0),
        "When the main loop has not moved for so long, the stacks of all threads and tasks are logged, once.",
        group="stop",
    )
    drain_delay: float = setting(
        2.0,
        units.duration(0.0, 600.0),
        "On SIGTERM, keep accepting for so long with readiness at 503, until load balancers have taken notice.",
        group="stop",
    )
    drain_timeout: float | None = setting(
        None,
        units.duration(0.0, 3600.0),
        "Then wait at most so long for exchanges in flight. Unset: the deadline and 5s more.",
        group="stop",
    )
    shutdown_timeout: float = setting(
        5.0, units.duration(0.0, 600.0), "Longest time that the answerer gets to close.", group="stop"
    )
    flush_timeout: float = setting(
        2.0, units.duration(0.0, 60.0), "Longest time that logs and telemetry get at the end.", group="stop"
    )
