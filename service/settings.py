"""The settings, which are also their manual: every field is a flag, an `ASKD_*` variable and a line of help.

A field's `help` gives the meaning, the unit and the reason for the default. Values come as strings, from flags first,
then the environment, and are read here, all of them, so that every fault is reported at once.
"""

import dataclasses
import difflib
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from service import units
from service.errors import SettingsError

T = TypeVar("T")

PREFIX: Final = "ASKD_"
_INJECTED: Final = re.compile(r"ASKD_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_\w+)")
_SERVICE_LINK: Final = re.compile(r"(tcp|udp|sctp)://")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def _text(text: str) -> str:
    return text.strip()


def _prefix(text: str) -> str:
    path = text.strip().rstrip("/")
    if path and not _PATH.fullmatch(path):
        raise ValueError("a path such as /answers, of letters, digits and . _ ~ -, or / for none")
    return path


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not all(part == "*" or _ORIGIN.fullmatch(part) for part in origins):
        raise ValueError("origins such as https://example.org or http://localhost:3000, separated by commas, or *")
    return origins


def _buckets(text: str) -> tuple[float, ...]:
    allowed = "1 to 40 rising durations separated by commas, such as 5ms,50ms,250ms,1s"
    try:
        edges = tuple(units.duration()(part) for part in text.split(","))
    except ValueError:
        raise ValueError(allowed) from None
    if not 1 <= len(edges) <= 40 or edges[0] <= 0 or any(b <= a for a, b in itertools.pairwise(edges)):
        raise ValueError(allowed)
    return edges


def setting(default: T, read: Callable[[str], object], help: str, *, group: str, secret: bool = False) -> T:
    """Declare one setting. A `secret` one is shown as `***` where settings are logged."""
    return dataclasses.field(default=default, metadata=dict(read=read, help=help, group=group, secret=secret))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What the server is told; immutable. Durations are seconds (float), sizes bytes (int)."""

    answerer: str | None = setting(
        None,
        _text,
        "What answers: a book (file or folder of .yaml, .json, .md); Python code or a graph (package.module:attr, "
        "path/to/file.py:attr, langgraph.json); a LangGraph server (http://host:port#assistant); another askd "
        "(ask+http://host:port). Unset: the built-in book.",
        group="answerer",
    )
    deterministic: bool | None = setting(
        None,
        units.boolean,
        "Whether the same question always gets the same answer, so that it may be cached. Unset: what the answerer "
        "itself declares.",
        group="answerer",
    )
    threads: int = setting(
        64, units.whole(1, 1024), "Threads for synchronous code, 1 to 1024: so many calls at once.", group="answerer"
    )
    reload: bool = setting(
        False, units.boolean, "For development: start anew whenever the answerer's code is saved.", group="answerer"
    )
    graph_input_key: str | None = setting(
        None, _text, "Key of a graph's state that takes the question. Unset: messages.", group="answerer"
    )
    graph_output_key: str | None = setting(
        None, _text, "Key of a graph's state that has the answer. Unset: the last AI message.", group="answerer"
    )
    upstream_key_file: str | None = setting(
        None, _text, "File with the key that a LangGraph server wants as x-api-key. Unset: no key.", group="answerer"
    )
    ready_needs_answerer: bool = setting(
        False, units.boolean, "Fail readiness, too, while a remote server that answers fails.", group="answerer"
    )
    question_max_length: int | None = setting(
        None,
        units.whole(1, 10_000_000),
        "Longest question in characters. Unset: 1000 for a book, for code what the body limit allows.",
        group="limits",
    )
    body_max_size: int = setting(
        64 << 10, units.size(1 << 10, 64 << 20), "Largest request body, 1KiB to 64MiB.", group="limits"
    )
    cache_size: int = setting(
        64 << 20,
        units.size(0, 64 << 30),
        "Memory for the answers of deterministic code and of fuzzy book questions; 0 turns the cache off.",
        group="limits",
    )
    host: str = setting(
        "127.0.0.1",
        _text,
        "Address to listen on. 0.0.0.0 is every IPv4 address, :: every address of both families. The default is "
        "reached from this machine only.",
        group="listen",
    )
    port: int = setting(
        2024, units.whole(0, 65535), "Port for questions; 0 takes a free one and logs which.", group="listen"
    )
    ops_port: int | None = setting(
        None,
        units.whole(0, 65535),
        "Port of its own for metrics and probes, served by a thread of its own. Unset: the port for questions.",
        group="listen",
    )
    prefix: str = setting(
        "", _prefix, "Path below which everything but metrics and probes is served, such as /answers.", group="listen"
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        _origins,
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
    latency_buckets: tuple[float, ...] = setting(
        LATENCY_BUCKETS, _buckets, "Upper edges of the latency histograms' buckets, rising durations.", group="log"
    )
    stall_limit: float = setting(
        30.0,
        units.duration(6.0, 3600.0),
        "Liveness fails when the main loop has not moved for so long; readiness fails after 5s of that.",
        group="stop",
    )
    drain_delay: float = setting(
        2.0,
        units.duration(0.0, 600.0),
        "On SIGTERM, keep accepting for so long with readiness at 503, until load balancers have taken notice.",
        group="stop",
    )
    drain_timeout: float = setting(
        65.0, units.duration(0.0, 3600.0), "Then wait at most so long for exchanges in flight.", group="stop"
    )
    shutdown_timeout: float = setting(
        5.0, units.duration(0.0, 600.0), "Longest time that the answerer gets to close.", group="stop"
    )
    flush_timeout: float = setting(
        2.0, units.duration(0.0, 60.0), "Longest time that logs and telemetry get at the end.", group="stop"
    )

    @classmethod
    def load(cls, flags: Mapping[str, str], environ: Mapping[str, str]) -> "Settings":
        """Read settings from `flags` (field name → text), then from `environ`; an empty variable counts as unset.

        Raises SettingsError with one line for each faulty setting.
        """
        values: dict[str, Any] = {}
        faults: list[str] = []
        for field in dataclasses.fields(cls):
            origin, text = flag_name(field.name), flags.get(field.name)
            if text is None:
                origin, text = variable_name(field.name), _from_environment(field.name, environ)
            if text is None:
                continue
            try:
                values[field.name] = field.metadata["read"](text)
            except ValueError as fault:
                shown = "***" if field.metadata["secret"] else repr(text)
                faults.append(f"{origin}={shown}: give {fault}")
        settings = cls(**values)
        faults += settings.contradictions()
        if faults:
            raise SettingsError(faults)
        return settings

    def contradictions(self) -> list[str]:
        """Return one line for each pair of settings that cannot both hold, with the mend."""
        faults = []
        if self.ops_port and self.ops_port == self.port:
            faults.append(f"--ops-port={self.ops_port} is --port as well: give another, or leave it out to share one")
        return faults

    def shown(self) -> dict[str, Any]:
        """Return the settings by name, secrets hidden, for the log."""
        found = {field: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {f.name: "***" if f.metadata["secret"] and v else _without_password(v) for f, v in found.items()}


def _without_password(value: Any) -> Any:
    return re.sub(r"//[^/@\s]+@", "//***@", value) if isinstance(value, str) else value


def flag_name(field: str) -> str:
    """`ops_port` → `--ops-port`."""
    return "--" + field.replace("_", "-")


def variable_name(field: str) -> str:
    """`ops_port` → `ASKD_OPS_PORT`."""
    return PREFIX + field.upper()


def _from_environment(field: str, environ: Mapping[str, str]) -> str | None:
    text = environ.get(variable_name(field), "")
    return text if given(text) else None


def given(text: str) -> bool:
    """Whether a variable's text is a value: it is none when empty, nor as ASKD_PORT=tcp://…, which Kubernetes sets."""
    return bool(text.strip()) and not _SERVICE_LINK.match(text)


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return each `ASKD_*` variable that is no setting, with the nearest name that is one (None: nothing is near).

    What Kubernetes injects for Services called askd or askd-ops is passed over.
    """
    known = [variable_name(field.name) for field in dataclasses.fields(Settings)]
    found: dict[str, str | None] = {}
    for name, value in sorted(environ.items()):
        injected = _INJECTED.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_LINK.match(value))
        if name.startswith(PREFIX) and name not in known and not injected:
            found[name] = next(iter(difflib.get_close_matches(name, known, n=1)), None)
    return found
