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
        "Answerer to serve: a book (file or folder of .yaml, .json, .csv or .md), Python code or a graph "
        "(package.module:attr, path/to/file.py:attr, main.py:* for all functions, langgraph.json), a LangGraph server "
        "(http://host:port#assistant) or another askd (ask+http://host:port). Unset: answer.py, main.py, app.py, "
        "langgraph.json, book.* or faq.* in the working directory, otherwise the built-in book.",
        group="Answerer",
    )
    book_refuse_duplicates: bool = setting(
        False,
        fields.boolean,
        "Refuse a book with two different answers to one question. Otherwise the first answer is used, and a warning "
        "names both places.",
        group="Answerer",
    )
    deterministic: bool | None = setting(
        None,
        fields.boolean,
        "Whether equal questions always have equal answers, which enables the cache and single flight. Unset: the "
        "answerer declares it.",
        group="Answerer",
    )
    book_match: str = setting(
        "normal",
        fields.choice("exact", "strict", "normal", "eager"),
        "How similar a question must be to one in the book. exact: equal but for case and punctuation; strict answers "
        "fewer questions, eager more, with more wrong answers.",
        group="Answerer",
    )
    book_threshold: float | None = setting(
        None,
        fields.fraction,
        "Minimum score of an answer to a similar question, from 0 to 1; see `score` in the response. Unset: 0.85 for "
        "strict, 0.75 for normal and 0.5 for eager.",
        group="Answerer",
    )
    book_semantic: bool = setting(
        False,
        fields.boolean,
        "Compare questions to a book by a local language model too (needs the extra askd[semantic]; for English). "
        "Answers may then differ between CPUs, so they are not deterministic unless --deterministic is set.",
        group="Answerer",
    )
    threads: int = setting(
        64,
        fields.integer(1, 1024),
        "Number of threads for synchronous code, and so its maximum number of concurrent calls.",
        group="Answerer",
    )
    processes: int | Literal["auto"] = setting(
        0,
        fields.auto_or_integer(0, 256),
        "Number of worker processes that run the code of a function or a graph, one question each (0 runs it in the "
        "server's process). auto: the CPUs that the container may use. For code that uses the CPU, hangs or crashes.",
        group="Answerer",
    )
    kill_delay: float = setting(
        0.25,
        fields.duration(0.0, 3600.0),
        "Time that a call in a worker process gets to end after its deadline, or after its client has left, before the "
        "process is killed and replaced.",
        group="Answerer",
    )
    worker_max_requests: int = setting(
        0,
        fields.integer(0, 1_000_000_000),
        "Number of questions, reduced by up to 10 % at random, after which a worker process is replaced (0 disables "
        "this).",
        group="Answerer",
    )
    worker_max_memory: int = setting(
        0,
        fields.size(0, 1 << 42),
        "Resident memory of a worker process in bytes above which it is replaced; its successor loads first (0 "
        "disables this).",
        group="Answerer",
    )
    reload: bool = setting(
        False, fields.boolean, "Restart when the answerer's code changes (for development).", group="Answerer"
    )
    graph: str | None = setting(
        None,
        fields.string,
        "Graph of langgraph.json, or function of main.py:*, that answers at /ask if several are served; each answers "
        "at /ask/NAME. Unset: the only one; of functions, answer or the one that is named like its file.",
        group="Answerer",
    )
    graph_input_key: str | None = setting(
        None,
        fields.string,
        "State key of a graph that receives the question. Unset: messages, else the first required text, else the "
        "first field.",
        group="Answerer",
    )
    graph_output_key: str | None = setting(
        None,
        fields.string,
        "State key of a graph that holds the answer. Unset: the last AI message, or for a graph without messages the "
        "field answer, response or output, or its last field with text.",
        group="Answerer",
    )
    graph_memory: str | None = setting(
        None,
        fields.graph_memory,
        "Memory for a graph that was compiled without a checkpointer or a store: memory, sqlite:PATH or the URL of a "
        "Postgres database. Unset: the graph keeps no threads.",
        group="Answerer",
        secret=True,
    )
    upstream_api_key_file: str | None = setting(
        None,
        fields.string,
        "File with the API key that is sent to a LangGraph server as x-api-key. Unset: no key is sent.",
        group="Answerer",
    )
    upstream_authorization: str | None = setting(
        None,
        fields.string,
        "File with the Authorization header for the upstream server, a token or a scheme and a token; forward passes "
        "the client's own header on. Unset: no header is sent.",
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
