"""Report of `askd check`, which loads the answerer without serving it."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final

from askd import circuit_breaker
from askd.answerers import registry
from askd.answerers.user_code import exceptions
from askd.api import rendering
from askd.api.ask_path import ask_path
from askd.api.formats.mcp_tool import build_tool, has_default_description
from askd.api.formats.named_handler import public_name
from askd.client.errors import EXIT_NO_ANSWER, EXIT_UNREACHABLE, EXIT_USAGE_ERROR
from askd.config import Settings
from askd.errors import AnswererFailed, ListenError, NoAnswer, Problem
from askd.guards import cache
from askd.guards.tokens import TokenStore
from askd.httpserver import descriptors, sockets
from askd.httpserver.tls import CertificateReloader, validity_problem
from askd.models import Answer, Answerer, Parameter, Question
from askd.quota import Quota
from askd.redis_backend.connection import RedisConnection, redact_url
from askd.redis_backend.rate_limit import GCRA_SCRIPT
from askd.telemetry import load_progress, tracing

_LABEL_WIDTH: Final = 14
_NOT_DETERMINISTIC: Final = "off: the answerer is not deterministic"
_MAX_SHOWN_ANSWER: Final = 500
"""Maximum number of characters of an answer in the report."""
_MAX_SHOWN_CALLERS: Final = 10
_KILL_MARGIN: Final = 5
"""Seconds that a platform should wait in addition to all steps of the shutdown before it kills the process."""


def build_report(settings: Settings, question: str | None = None) -> tuple[list[str], int]:
    """Load the answerer, and return the lines of the report and the exit code of the command.

    Args:
        settings: The settings.
        question: A question to ask; None asks none.

    Raises:
        StartupError: As `askd serve` would.
    """

    async def load() -> tuple[list[str], int]:
        async with load_answerers(settings) as named:
            facts, exit_code = [], 0
            for name, answerer in named.answerers.items():
                if len(named.answerers) > 1:
                    facts.append(("path", ask_path(name) + (f", {ask_path('')}" if name == named.default else "")))
                facts += _collect_answerer_facts(settings, answerer).items()
                if "mcp" in settings.formats:
                    facts += _describe_tool(settings, name, answerer)
                facts += [("note", line) for line in answerer.notes()]
                facts += [("warning", line) for line in answerer.warnings()]
                if question is not None:
                    text, code = await _ask(answerer, question, settings.effective_deadline(answerer.kind))
                    facts.append(("asked", text))
                    exit_code = max(exit_code, code)
            facts += _collect_server_facts(settings, [*named.answerers.values()]).items()
        return [f"{label:<{_LABEL_WIDTH}} {text}" for label, text in facts if text], exit_code

    return asyncio.run(load())


def _describe_tool(settings: Settings, name: str, answerer: Answerer) -> list[tuple[str, str]]:
    """Return the tool as a model sees it, and a warning if the model learns nothing about it."""
    deterministic = answerer.deterministic if settings.deterministic is None else settings.deterministic
    max_length = settings.effective_question_max_length(answerer.kind)
    tool = build_tool(public_name(name or answerer.name), answerer, max_length=max_length, deterministic=deterministic)
    facts = [
        ("tool", f"{tool['name']}: {' '.join(tool['description'].split())}"),
        ("arguments", rendering.encode_json(tool["inputSchema"]["properties"]).decode()),
    ]
    if has_default_description(answerer.contract):
        hint = "write a docstring (for a graph: of its module)"
        facts.append(("warning", f"the tool has no description, by which models decide to call it: {hint}"))
    return facts


async def _ask(answerer: Answerer, text: str, timeout: float) -> tuple[str, int]:
    """Ask a question; return the result in words, and the exit code that `askd ask` has for it."""
    started_at = perf_counter()
    try:
        async with asyncio.timeout(timeout):
            answer, pieces = await _get_answer(answerer, text)
    except NoAnswer:
        return f"404 in {_milliseconds(started_at)}: no answer", EXIT_NO_ANSWER
    except TimeoutError:
        return f"504: no answer within {timeout:g}s", EXIT_UNREACHABLE
    except Problem as error:
        cause = error.__cause__ if isinstance(error, AnswererFailed) else None
        if cause is None:
            is_invalid = error.status < HTTPStatus.INTERNAL_SERVER_ERROR
            return f"{int(error.status)}: {error.detail}", EXIT_USAGE_ERROR if is_invalid else EXIT_UNREACHABLE
        return f"500: {exceptions.describe_error(cause)}", EXIT_UNREACHABLE
    except Exception as error:
        return f"500: {exceptions.describe_error(error)}", EXIT_UNREACHABLE
    body = rendering.encode_answer(answer).decode()
    shown = body if len(body) <= _MAX_SHOWN_ANSWER else f"{body[:_MAX_SHOWN_ANSWER]}…"
    form = "text" if answer.value is None else f"JSON ({type(answer.value).__name__})"
    fields = f" with the fields {', '.join(answer.fields)}" if answer.fields else ""
    streamed = f", streamed in {pieces} pieces" if pieces > 1 else ""
    return f"200 in {_milliseconds(started_at)}, {form}{fields}{streamed}: {shown}", 0


async def _get_answer(answerer: Answerer, text: str) -> tuple[Answer, int]:
    """Return the answer and the number of deltas."""
    form = answerer.contract.question
    values = {} if form.schema is None else {form.name: [text]}
    question = Question(text=text, parameters=answerer.parse_parameters(values, from_strings=True), id="check")
    pieces, answer = 0, None
    async with contextlib.aclosing(answerer.stream(question)) as events:  # type: ignore[type-var] # generators have aclose
        async for event in events:
            pieces += isinstance(event, str)
            answer = event if isinstance(event, Answer) else answer
    if answer is None:
        raise NoAnswer
    return answer, pieces


def _milliseconds(started_at: float) -> str:
    return f"{(perf_counter() - started_at) * 1e3:.3g} ms"


@contextlib.asynccontextmanager
async def load_answerers(settings: Settings) -> AsyncIterator[registry.NamedAnswerers]:
    """Yield the loaded answerers. The output of their code is redirected to stderr: stdout is for the report."""
    with contextlib.redirect_stdout(sys.stderr):
        named = registry.create_answerers(settings)
        try:
            async with load_progress.show_progress() as show:
                for answerer in named.answerers.values():
                    await answerer.load(show)
            yield named
        finally:
            for answerer in named.answerers.values():
                await answerer.close()


def _collect_answerer_facts(settings: Settings, answerer: Answerer) -> dict[str, str]:
    """Return the text by label for one answerer; an empty text is left out of the report."""
    statistics = answerer.statistics()
    deterministic = answerer.deterministic if settings.deterministic is None else settings.deterministic
    return {
        "answerer": f"{answerer.name} ({answerer.kind})",
        "entries": "" if statistics.entries is None else f"{statistics.entries:,}",
        "version": answerer.version,
        "deterministic": ("yes" if deterministic else "no") + ("" if settings.deterministic is None else " (setting)"),
        "cache": _describe_cache(settings, deterministic=deterministic),
        "single flight": "on: equal concurrent requests share one call" if deterministic else _NOT_DETERMINISTIC,
        "processes": _describe_processes(settings, answerer),
        "streaming": "yes" if answerer.supports_streaming else "no",
        "conversations": "yes, kept between requests" if answerer.supports_threads else "",
        "deadline": _describe_deadline(settings, answerer),
        "concurrency": _describe_limiter(settings, answerer),
        "circuit": _describe_circuit_breaker(settings) if statistics.circuit_state else "",
        "parameters": ", ".join(_describe_parameter(parameter) for parameter in answerer.contract.parameters),
        "questions": f"up to {settings.effective_question_max_length(answerer.kind):,} characters",
    }


def _collect_server_facts(settings: Settings, answerers: Sequence[Answerer]) -> dict[str, str]:
    """Return the text by label for the server; an empty text is left out of the report."""
    secure = settings.tls_cert is not None
    return {
        "rate limit": _describe_rate_limit(settings),
        "redis": _describe_redis(settings),
        "traces": tracing.describe_tracing(os.environ),
        "tokens": _describe_tokens(settings),
        "TLS": _describe_certificate(settings),
        "connections": _describe_connections(settings),
        "address": _format_url(settings.host, settings.main_port, settings.prefix, secure=secure),
        "port": _describe_port_conflict(settings),
        "metrics": _format_url(
            settings.host,
            settings.main_port if settings.ops_port is None else settings.ops_port,
            "/metrics",
            secure=secure and settings.ops_port is None,
        ),
        "shutdown": _describe_shutdown(settings, answerers),
    }


def _describe_cache(settings: Settings, *, deterministic: bool) -> str:
    if not settings.cache_size:
        return "off: its size is 0"
    if not deterministic:
        return _NOT_DETERMINISTIC
    ttl = "until the version changes" if settings.cache_ttl is None else f"for up to {settings.cache_ttl:g}s"
    no_answer_ttl = min(cache.NO_ANSWER_TTL, settings.cache_ttl or cache.NO_ANSWER_TTL)
    return f"{settings.cache_size / (1 << 20):,.4g} MiB; answers {ttl}, missing answers for {no_answer_ttl:g}s"


def _describe_deadline(settings: Settings, answerer: Answerer) -> str:
    deadline = settings.effective_deadline(answerer.kind)
    return f"{deadline:g}s for a response, {settings.stream_deadline:g}s for a stream; clients may request less"


def _describe_limiter(settings: Settings, answerer: Answerer) -> str:
    limit = "automatic limit" if settings.concurrency == "auto" else f"up to {settings.concurrency:,} requests"
    if answerer.max_concurrency:
        place = "thread" if answerer.statistics().worker_processes is None else "worker process"
        limit += f", at most {answerer.max_concurrency} (one {place} each)"
    queue = "no queue"
    if settings.queue_size:
        queue = f"queue of {settings.queue_size:,}, target delay {settings.queue_target_delay:g}s"
    return f"{limit}; {queue}; excess requests get 503"


def _describe_processes(settings: Settings, answerer: Answerer) -> str:
    if not settings.processes:
        return ""
    number = answerer.statistics().worker_processes
    if number is None:
        return f"no effect: a {answerer.kind} runs in the server's process"
    memory = (answerer.statistics().worker_bytes or 0) / number / (1 << 20)
    return f"{number}, {memory:,.0f} MiB each; calls are killed {settings.kill_delay:g}s after their deadline"


def _describe_shutdown(settings: Settings, answerers: Sequence[Answerer]) -> str:
    drain_timeout = max(settings.effective_drain_timeout(answerer.kind) for answerer in answerers)
    steps = [
        (settings.drain_delay, "drain delay"),
        (drain_timeout, "for requests in flight"),
        (settings.shutdown_timeout, "to close the answerer"),
        (settings.flush_timeout, "to flush logs and traces"),
    ]
    total = sum(seconds for seconds, _ in steps)
    described = ", ".join(f"{seconds:g}s {step}" for seconds, step in steps)
    return f"{described}; set the platform's grace period to {total + _KILL_MARGIN:g}s"


def _describe_circuit_breaker(settings: Settings) -> str:
    threshold, window = circuit_breaker.FAILURE_RATE_THRESHOLD, circuit_breaker.WINDOW_SIZE
    readiness = "fails while it is open" if settings.readiness_requires_upstream else "does not depend on it"
    return (
        f"opens if {threshold:.0%} of the last {window} requests failed, retries after "
        f"{circuit_breaker.INITIAL_BACKOFF:g}s to {circuit_breaker.MAX_BACKOFF:g}s; readiness {readiness}"
    )


def _describe_tokens(settings: Settings) -> str:
    if settings.tokens_file is None:
        return "none: no authentication"
    tokens = TokenStore(settings.tokens_file)
    names = tokens.caller_names
    if not names:
        return "none in the file: all requests will be rejected"
    shown = ", ".join(names[:_MAX_SHOWN_CALLERS]) + (" …" if len(names) > _MAX_SHOWN_CALLERS else "")
    docs = "; also required for /docs" if settings.docs_require_token else ""
    return f"{tokens.statistics().tokens:,} for {shown}{docs}"


def _describe_certificate(settings: Settings) -> str:
    if settings.tls_cert is None or settings.tls_key is None:
        return ""
    validity, now = CertificateReloader(settings.tls_cert, settings.tls_key).validity, datetime.now(UTC)
    valid = f"valid until {validity.not_after:%Y-%m-%d}, {(validity.not_after - now).days:,} days"
    return f"{settings.tls_cert}, {validity_problem(validity, now) or valid}"


def _describe_rate_limit(settings: Settings) -> str:
    if settings.rate_limit is None:
        return ""
    quota = Quota(settings.rate_limit, settings.rate_burst)
    networks = ", ".join(map(str, settings.trusted_proxies)) or "none"
    return f"{settings.rate_limit} per client, bursts of up to {quota.burst:,}; trusted proxies: {networks}"


def _describe_redis(settings: Settings) -> str:
    if settings.redis_url is None:
        return ""
    RedisConnection(settings.redis_url, [GCRA_SCRIPT])  # validates the URL without connecting
    return f"{redact_url(settings.redis_url)} (not contacted by this check)"


def _describe_connections(settings: Settings) -> str:
    descriptors.raise_descriptor_limit()  # as the server does
    limit = descriptors.bounded_by_descriptors(settings.max_connections)
    bound = f"up to {settings.max_connections:,}"
    if limit < settings.max_connections:
        bound = (
            f"up to {limit:,} instead of {settings.max_connections:,}, because the limit of open files (ulimit -Hn) is "
            f"{limit + descriptors.RESERVED_DESCRIPTORS:,}, and {descriptors.RESERVED_DESCRIPTORS} are reserved"
        )
    age = f"{settings.connection_max_age:g}s" if settings.connection_max_age else "unlimited"
    return (
        f"{bound}; timeouts: headers {settings.header_timeout:g}s, body "
        f"{settings.body_timeout:g}s, write {settings.write_timeout:g}s, keep-alive {settings.keepalive_timeout:g}s; "
        f"maximum age: {age}"
    )


def _describe_port_conflict(settings: Settings) -> str:
    """Return why `askd serve` could not listen on the configured port, or which one it would use. Empty if it can."""
    try:
        listeners = sockets.open_listeners(
            settings.host, settings.port, settings.ops_port, default_port=settings.main_port
        )
    except ListenError as error:
        return str(error)
    for listener in (*listeners.main, *(listeners.ops or ())):
        listener.close()
    return listeners.port_conflict


def _describe_parameter(parameter: Parameter) -> str:
    """Return `lang: string = "en"`."""
    default = f" = {json.dumps(parameter.schema['default'])}" if "default" in parameter.schema else ""
    return f"{parameter.name}: {_describe_schema_type(parameter.schema)}{default}" + (
        " (required)" if parameter.required else ""
    )


def _describe_schema_type(schema: Mapping[str, Any]) -> str:
    """Return a short description of a JSON Schema's type: `integer`, `"en"|"de"`, `array of string|null`."""
    if "enum" in schema:
        return "|".join(json.dumps(word) for word in schema["enum"])
    if "anyOf" in schema:
        return "|".join(_describe_schema_type(part) for part in schema["anyOf"])
    name = str(schema.get("type", "any"))
    return f"{name} of {_describe_schema_type(schema['items'])}" if name == "array" and "items" in schema else name


def _format_url(host: str, port: int, path: str, *, secure: bool = False) -> str:
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http{'s' if secure else ''}://{name}:{port or '<free port>'}{path}"
