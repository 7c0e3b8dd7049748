"""Settings of the exchange: what answers, what may be asked, and what protects it."""

import dataclasses
from typing import Literal

from service import units
from service.settings.manual import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exchange:
    """What answers, how large a question may be, and the guards."""

    answerer: str | None = setting(
        None,
        units.text,
        "What answers: a book (file or folder of .yaml, .json, .md); Python code or a graph (package.module:attr, "
        "path/to/file.py:attr, langgraph.json); a LangGraph server (http://host:port#assistant); another askd "
        "(ask+http://host:port). Unset: answer.py, langgraph.json or book.yaml (.json, .md) in the working folder, or "
        "else the built-in book.",
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
        None, units.text, "Key of a graph's state that takes the question. Unset: messages.", group="answerer"
    )
    graph_output_key: str | None = setting(
        None, units.text, "Key of a graph's state that has the answer. Unset: the last AI message.", group="answerer"
    )
    upstream_key_file: str | None = setting(
        None,
        units.text,
        "File with the key that a LangGraph server wants as x-api-key. Unset: no key.",
        group="answerer",
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
    deadline: float | None = setting(
        None,
        units.duration(0.001, 3600.0),
        "Longest time from the first byte of a question to the last of its answer, waiting included; a client may ask "
        "for less. Unset: 10s for the book, 60s for code and graphs.",
        group="guards",
    )
    stream_deadline: float = setting(
        600.0,
        units.duration(0.001, 86400.0),
        "Longest time for the whole of a stream; the deadline bounds the time between two of its events.",
        group="guards",
    )
    concurrency: int | Literal["auto"] = setting(
        "auto",
        units.auto_or_whole(1, 100_000),
        "Questions in the code at once; auto finds how many pay. For synchronous code never more than the threads.",
        group="guards",
    )
    queue: int = setting(
        64, units.whole(0, 100_000), "Questions that may wait for the code; 0: none waits.", group="guards"
    )
    queue_budget: float = setting(
        0.1,
        units.duration(0.001, 60.0),
        "Where questions keep waiting longer than this, new ones are refused at once: late answers help nobody.",
        group="guards",
    )
    cache_size: int = setting(
        64 << 20,
        units.size(0, 64 << 30),
        "Memory for the answers of deterministic code and of fuzzy book questions; 0 turns the cache off.",
        group="guards",
    )
    cache_ttl: float | None = setting(
        None,
        units.duration(0.001),
        "Longest time for which a cached answer is given. Unset: as long as the answerer's version stays the same.",
        group="guards",
    )
    rate: units.Rate | None = setting(
        None,
        units.rate,
        "Questions that one client may ask in a time: by its token's name, else its address. Unset: no bound.",
        group="guards",
    )
    rate_burst: int | None = setting(
        None,
        units.whole(1, 1_000_000),
        "Questions that a client may ask at once. Unset: as many as the rate has in its time.",
        group="guards",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        units.networks,
        "Networks of the proxies whose X-Forwarded-For and Forwarded are believed. Unset: none.",
        group="guards",
    )
    redis_url: str | None = setting(
        None,
        units.text,
        "Redis or Valkey that the replicas share rates and cache in, such as redis://host:6379/0. Unset: each replica "
        "has its own.",
        group="guards",
        secret=True,
    )
