"""What would be served, without serving it: the reports of `askd check` and `askd openapi`."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from service.answerers import spec
from service.guards import cache, circuit
from service.guards.rate import Quota
from service.guards.tokens import Tokens
from service.models import Answerer, Parameter
from service.settings import Settings
from service.shared.rate import SCRIPT
from service.shared.redis import Redis, shown
from service.telemetry import loading, tracing
from service.tls import Tls, untimely
from service.web import openapi

_LABEL_WIDTH: Final = 14
_DIFFER: Final = "off, as answers may differ"
_SHOWN: Final = 10
"""Names of callers that fit into a line."""


def report(settings: Settings) -> list[str]:
    """Load the answerer and return a few lines for people. Raises StartupError as a start would."""

    async def load() -> list[str]:
        async with _loaded(settings) as answerer:
            facts = [*_facts(settings, answerer).items(), *(("warning", line) for line in answerer.warnings())]
            return [f"{label:<{_LABEL_WIDTH}} {text}" for label, text in facts if text]

    return asyncio.run(load())


def contract(settings: Settings) -> str:
    """Load the answerer and return its OpenAPI document as JSON text. Raises StartupError as a start would."""

    async def load() -> str:
        async with _loaded(settings) as answerer:
            document = openapi.document(settings, answerer, max_length=spec.question_max_length(settings, answerer))
        return json.dumps(document, indent=2, ensure_ascii=False)

    return asyncio.run(load())


@contextlib.asynccontextmanager
async def _loaded(settings: Settings) -> AsyncIterator[Answerer]:
    """Give the loaded answerer. What its code prints goes to stderr: stdout is for the report."""
    with contextlib.redirect_stdout(sys.stderr):
        answerer = spec.resolve(settings)
        try:
            async with loading.shown() as show:
                await answerer.load(show)
            yield answerer
        finally:
            await answerer.close()


def _facts(settings: Settings, answerer: Answerer) -> dict[str, str]:
    """Return what there is to say by label; empty: not for this answerer."""
    entries = answerer.statistics().entries
    declared = settings.deterministic
    deterministic = answerer.deterministic if declared is None else declared
    secure = settings.tls_cert is not None
    return {
        "answerer": f"{answerer.name} ({answerer.kind})",
        "entries": "" if entries is None else f"{entries:,}",
        "version": answerer.version,
        "deterministic": ("yes" if deterministic else "no") + ("" if declared is None else ", as the settings say"),
        "cache": _cache(settings, deterministic=deterministic),
        "single flight": "the same question asked at once is one call" if deterministic else _DIFFER,
        "streams": "yes" if answerer.streams else "no",
        "threads": "yes, remembered between questions" if answerer.conversational else "",
        "deadline": _deadline(settings, answerer),
        "limiter": _limiter(settings, answerer),
        "circuit": _circuit(settings) if answerer.statistics().circuit else "",
        "rate": _rate(settings),
        "redis": _redis(settings),
        "traces": tracing.described(os.environ),
        "parameters": ", ".join(_parameter(parameter) for parameter in answerer.contract.parameters),
        "questions": f"up to {spec.question_max_length(settings, answerer):,} characters",
        "tokens": _tokens(settings),
        "TLS": _certificate(settings),
        "connections": _connections(settings),
        "address": _url(settings.host, settings.main_port, settings.prefix, secure=secure),
        "ops endpoints": _url(
            settings.host,
            settings.main_port if settings.ops_port is None else settings.ops_port,
            "/metrics",
            secure=secure and settings.ops_port is None,
        ),
        "drain": _drain(settings, answerer),
    }


def _cache(settings: Settings, *, deterministic: bool) -> str:
    if not settings.cache_size:
        return "off, as its size is 0"
    if not deterministic:
        return _DIFFER
    life = "until the version changes" if settings.cache_ttl is None else f"for {settings.cache_ttl:g}s at most"
    brief = min(cache.NO_ANSWER_TTL, settings.cache_ttl or cache.NO_ANSWER_TTL)
    return f"{settings.cache_size / (1 << 20):,.4g} MiB, answers {life}, no-answers for {brief:g}s"


def _deadline(settings: Settings, answerer: Answerer) -> str:
    longest = spec.deadline(settings, answerer)
    return f"{longest:g}s for an answer, {settings.stream_deadline:g}s for a whole stream; a client may ask for less"


def _limiter(settings: Settings, answerer: Answerer) -> str:
    most = f", at most {answerer.places} for it takes a thread each" if answerer.places else ""
    found = "finds how many may be in the code at once"
    if settings.concurrency != "auto":
        found = f"{settings.concurrency:,} may be in the code at once"
    waiting = "none waits"
    if settings.queue:
        waiting = f"{settings.queue:,} may wait, {settings.queue_budget:g}s if that lasts"
    return f"{found}{most}; {waiting}; beyond that 503"


def _drain(settings: Settings, answerer: Answerer) -> str:
    """Tell the steps, and what a platform must grant for all of them (its own margin of 5 s included)."""
    steps = [
        (settings.drain_delay, "still accepting"),
        (spec.drain_timeout(settings, answerer), "for what is in flight"),
        (settings.shutdown_timeout, "to close the answerer"),
        (settings.flush_timeout, "to flush"),
    ]
    told = ", ".join(f"{seconds:g}s {what}" for seconds, what in steps)
    return f"{told}; allow {sum(seconds for seconds, _ in steps) + 5:g}s before a kill"


def _circuit(settings: Settings) -> str:
    ready = "fails then" if settings.ready_needs_answerer else "does not depend on it"
    opens = f"opens when {circuit.SHARE:.0%} of the last {circuit.WINDOW} requests failed"
    return f"{opens}, a trial every {circuit.PAUSE:g}s to {circuit.LONGEST_PAUSE:g}s; readiness {ready}"


def _tokens(settings: Settings) -> str:
    """Raises StartupError."""
    if settings.tokens_file is None:
        return "none, anybody may ask"
    tokens = Tokens(settings.tokens_file)
    names, also = tokens.names, "; asked for at /docs too" if settings.docs_need_token else ""
    shown = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
    return f"{tokens.statistics().tokens:,} of {shown}{also}" if names else "none is known, nobody may ask"


def _certificate(settings: Settings) -> str:
    """Raises StartupError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return ""
    valid, now = Tls(settings.tls_cert, settings.tls_key).validity, datetime.now(UTC)
    left = f"valid until {valid.ends:%Y-%m-%d}, {(valid.ends - now).days:,} days"
    return f"{settings.tls_cert}, {untimely(valid, now) or left}"


def _rate(settings: Settings) -> str:
    if settings.rate is None:
        return ""
    quota = Quota(settings.rate, settings.rate_burst)
    trusted = ", ".join(map(str, settings.trusted_proxies))
    behind = f"proxies in {trusted} are believed" if trusted else "no proxy is believed"
    return f"{settings.rate} for each client, up to {quota.burst:,} at once; {behind}"


def _redis(settings: Settings) -> str:
    """Say what is shared where. Raises StartupError where the URL or the package would stop the start."""
    if settings.redis_url is None:
        return ""
    Redis(settings.redis_url, [SCRIPT])
    return f"{shown(settings.redis_url)}, looked for once it runs; without it each replica is on its own"


def _connections(settings: Settings) -> str:
    age = settings.connection_max_age
    return (
        f"up to {settings.max_connections:,}; closed where headers take {settings.header_timeout:g}s, a body "
        f"{settings.body_timeout:g}s, a client takes nothing for {settings.write_timeout:g}s, idle for "
        f"{settings.keepalive:g}s, " + (f"with the next answer after {age:g}s" if age else "at no age")
    )


def _parameter(parameter: Parameter) -> str:
    """Return `lang: string = "en"`."""
    default = f" = {json.dumps(parameter.schema['default'])}" if "default" in parameter.schema else ""
    return f"{parameter.name}: {_kind(parameter.schema)}{default}" + (" (required)" if parameter.required else "")


def _kind(schema: Mapping[str, Any]) -> str:
    """Return a JSON Schema's type in a word or a few; `any` where it takes more words."""
    if "enum" in schema:
        return "|".join(json.dumps(word) for word in schema["enum"])
    if "anyOf" in schema:
        return "|".join(_kind(part) for part in schema["anyOf"])
    kind = str(schema.get("type", "any"))
    return f"{kind} of {_kind(schema['items'])}" if kind == "array" and "items" in schema else kind


def _url(host: str, port: int, path: str, *, secure: bool = False) -> str:
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http{'s' if secure else ''}://{name}:{port or '<a free port>'}{path}"
