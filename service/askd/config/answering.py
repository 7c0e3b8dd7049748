"""Settings of request handling: the answerer, request limits, rate limit, cache and shared state."""

import dataclasses
from typing import Literal

from askd.config import fields
from askd.config.fields import setting
from askd.rate import Rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnsweringSettings:
    """Settings of request handling."""

    answerer: str | None = setting(
        None,
        fields.string,
        "Answerer to serve: a book (file or folder of .yaml, .json or .md), Python code or a graph "
        "(package.module:attr, path/to/file.py:attr, langgraph.json), a LangGraph server (http://host:port#assistant) "
        "or another askd (ask+http://host:port). Unset: answer.py, main.py, app.py, langgraph.json, book.* or "
        "faq.* in the working directory, otherwise the built-in book.",
        group="Answerer",
    )
    deterministic: bool | None = setting(
        None,
        fields.boolean,
        "Whether equal questions always have equal answers, which enables the cache and single flight. Unset: the "
        "answerer declares it.",
        group="Answerer",
    )
    threads: int = setting(
        64,
        fields.integer(1, 1024),
        "Number of threads for synchronous code, and so its maximum number of concurrent calls.",
        group="Answerer",
    )
    reload: bool = setting(
        False, fields.boolean, "Restart when the answerer's code changes (for development).", group="Answerer"
    )
    graph_input_key: str | None = setting(
        None, fields.string, "State key of a graph that receives the question. Unset: messages.", group="Answerer"
    )
    graph_output_key: str | None = setting(
        None,
        fields.string,
        "State key of a graph that holds the answer. Unset: the last AI message.",
        group="Answerer",
    )
    upstream_api_key_file: str | None = setting(
        None,
        fields.string,
        "File with the API key that is sent to a LangGraph server as x-api-key. Unset: no key is sent.",
        group="Answerer",
    )
    readiness_requires_upstream: bool = setting(
        False, fields.boolean, "Fail the readiness check while a remote answerer is failing.", group="Answerer"
    )
    question_max_length: int | None = setting(
        None,
        fields.integer(1, 10_000_000),
        "Maximum length of a question in characters. Unset: 1000 for a book, otherwise only the body size is limited.",
        group="Limits",
    )
    body_max_size: int = setting(
        64 << 10, fields.size(1 << 10, 64 << 20), "Maximum size of a request body in bytes.", group="Limits"
    )
    deadline: float | None = setting(
        None,
        fields.duration(0.001, 3600.0),
        "Maximum time from the first byte of a request to the last byte of its response, time in the queue included; "
        "clients may request less. Unset: 10s for books, 60s for code and graphs.",
        group="Limits",
    )
    stream_deadline: float = setting(
        600.0,
        fields.duration(0.001, 86400.0),
        "Maximum duration of a streamed response; the deadline limits the time between two of its events.",
        group="Limits",
    )
    concurrency: int | Literal["auto"] = setting(
        "auto",
        fields.auto_or_integer(1, 100_000),
        "Maximum number of requests that the answerer handles at once. auto tunes the limit from measured latency and "
        "throughput; synchronous code is also limited by the number of threads.",
        group="Limits",
    )
    queue_size: int = setting(
        64, fields.integer(0, 100_000), "Maximum number of queued requests (0 disables the queue).", group="Limits"
    )
    queue_target_delay: float = setting(
        0.1,
        fields.duration(0.001, 60.0),
        "Target for the time in the queue. If requests keep waiting longer, new ones are rejected with 503, because "
        "late responses are of no use to clients.",
        group="Limits",
    )
    cache_size: int = setting(
        64 << 20,
        fields.size(0, 64 << 30),
        "Memory for cached responses of deterministic code and fuzzy book lookups in bytes (0 disables the cache).",
        group="Cache",
    )
    cache_ttl: float | None = setting(
        None,
        fields.duration(0.001),
        "Maximum age of a cached response. Unset: responses are cached until the answerer's version changes.",
        group="Cache",
    )
    rate_limit: Rate | None = setting(
        None,
        fields.rate,
        "Maximum request rate of a client, which is identified by the name of its token or by its IP address. Unset: "
        "no rate limit.",
        group="Rate limit",
    )
    rate_burst: int | None = setting(
        None,
        fields.integer(1, 1_000_000),
        "Maximum number of requests that a client may send at once. Unset: the number in the rate limit, such as 100 "
        "for 100/s.",
        group="Rate limit",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        fields.networks,
        "Networks of proxies whose X-Forwarded-For and Forwarded headers are trusted, separated by commas. Unset: the "
        "headers are ignored.",
        group="Rate limit",
    )
    redis_url: str | None = setting(
        None,
        fields.string,
        "URL of a Redis or Valkey server through which replicas share rate limits and the cache, such as "
        "redis://host:6379/0. Unset: each replica has its own.",
        group="Redis",
        secret=True,
    )
