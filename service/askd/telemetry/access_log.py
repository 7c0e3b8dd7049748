"""The log line of an exchange: in the form of every other line, but put together by hand, for there is one for each."""

import logging
import random
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog

from service.telemetry.exchange import Exchange
from service.telemetry.output import now, output

_encode: Final = msgspec.json.Encoder().encode
_OK: Final = int(HTTPStatus.OK)
_IS_OK: Final = f'"status":{_OK}'
_IN_EVERY_LINE: Final = ("timestamp", "level", "event", "id", "trace_id", "span_id")


Plain = tuple[str, str, str, str, str, str]
"""An exchange of which there is no more to tell: its kind (`kind_of`), its id, its trace id, how long it took and how
long the cache did, and its client. Times are in milliseconds, as they are written. What does not apply is empty."""


class ExchangeLog:
    """Writes one line for each exchange, at level info; with the question's text only where `questions` says so.

    `sample`: the share of the 200s that is logged, from 0 to 1; what is no 200 is logged always. A line that stands for
    others says so by the share.
    """

    def __init__(self, *, questions: bool = False, sample: float = 1.0) -> None:
        self._questions = questions
        self._sample = sample
        self._sampled = f',"sample":{sample!r}' if sample < 1.0 else ""
        self._other = structlog.get_logger("askd.exchange")

    def write(self, exchange: Exchange, duration: float) -> None:
        """Log an exchange that took `duration` seconds."""
        if output.level > logging.INFO or (self._sampled and exchange.status == _OK and self._skips()):
            return
        if output.json:
            output.soon((self._line, exchange, duration))
        else:
            self._tell(self._line(exchange, duration))

    def _tell(self, written: bytes) -> None:
        """Log a line in the form that all others have."""
        line: dict[str, Any] = msgspec.json.decode(written)
        self._other.info(line["event"], **{name: line[name] for name in line if name not in _IN_EVERY_LINE})

    @property
    def plain(self) -> bool:
        """Whether `write_plain` writes as `write` would."""
        return not self._questions

    def write_plain(self, exchange: Plain) -> None:
        """Log an exchange whose answer was remembered."""
        if output.level > logging.INFO:
            return
        if self._sampled and exchange[0].endswith(_IS_OK):
            if self._skips():
                return
            exchange = (exchange[0] + self._sampled, *exchange[1:])
        if output.json:
            output.soon((_plain, exchange, 0.0))
        else:
            self._tell(_plain(exchange, 0.0))

    def _skips(self) -> bool:
        """Decide about a 200, by chance: ids come from clients and samplers, and by them the share would be another."""
        return random.random() >= self._sample  # noqa: S311 - no secret

    def _line(self, exchange: Exchange, duration: float) -> bytes:
        """Return the line as JSON. Durations are in milliseconds; what does not apply is left out.

        Ids and callers are well-formed (`request_id`, `trace_id`, `is_name`), so that they need no escaping; the rest
        gets it.
        """
        stages = exchange.stages
        trace = f',"trace_id":"{exchange.trace_id}"' if exchange.trace_id else ""
        span = f',"span_id":"{exchange.span_id}"' if exchange.span_id else ""
        auth = "" if stages.auth is None else f',"auth_ms":{stages.auth * 1e3:.3f}'
        rate = "" if stages.rate is None else f',"rate_ms":{stages.rate * 1e3:.3f}'
        cache = "" if stages.cache is None else f',"cache_ms":{stages.cache * 1e3:.3f}'
        queue = "" if stages.queue is None else f',"queue_ms":{stages.queue * 1e3:.3f}'
        code = "" if stages.code is None else f',"code_ms":{stages.code * 1e3:.3f}'
        render = "" if stages.render is None else f',"render_ms":{stages.render * 1e3:.3f}'
        caller = f',"caller":"{exchange.caller}"' if exchange.caller else ""
        question = f',"question":{_quoted(exchange.question)}' if self._questions and exchange.question else ""
        leader = f',"leader":"{exchange.leader}"' if exchange.leader else ""
        sampled = self._sampled if exchange.status == _OK else ""
        return (
            f'{{"timestamp":"{now()}","level":"info","event":"exchange","id":"{exchange.id}"{trace}{span},'
            f"{kind_of(exchange.route, exchange.method, exchange.status)}{sampled},"
            f'"duration_ms":{duration * 1e3:.3f}{auth}{rate}{cache}{queue}{code}{render},'
            f'"client":{_client(exchange.client)}{caller}{leader}{question}}}'
        ).encode()


def _plain(exchange: Plain, _: float) -> bytes:
    kind, id, trace_id, duration, cache, client = exchange
    trace = f',"trace_id":"{trace_id}"' if trace_id else ""
    asked = f',"cache_ms":{cache}' if cache else ""
    return (
        f'{{"timestamp":"{now()}","level":"info","event":"exchange","id":"{id}"{trace},{kind},'
        f'"duration_ms":{duration}{asked},"render_ms":0.000,"client":{_client(client)}}}'
    ).encode()


def _quoted(text: str) -> str:
    return _encode(text).decode()


@lru_cache(maxsize=256)
def _client(address: str) -> str:
    return _quoted(address)


@lru_cache(maxsize=256)
def kind_of(route: str, method: str, status: int) -> str:
    """Return the members of a line that tell of the route, the method and the status."""
    return f'"route":{_quoted(route)},"method":{_quoted(method)},"status":{status}'
