"""Access log: one `request` line per request, formatted by hand because there is one for every request."""

import logging
import random
import time
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec

from askd.context import RequestContext
from askd.telemetry import console
from askd.telemetry.log_stream import log_stream

MAX_DETAIL_LENGTH: Final = 500
"""Characters of a problem's detail in the log: details of user code may have any length."""
_encode_json: Final = msgspec.json.Encoder().encode
_STATUS_OK: Final = int(HTTPStatus.OK)
_last_timestamp: Final = [(-1, "")]
"""The millisecond that was formatted last, and its text: one item, so that threads see a consistent pair."""


class AccessLog:
    """Writes one line per request at level info.

    Args:
        log_questions: Whether lines contain the text of the question.
        sample_ratio: Share of 200 responses that are logged, 0 to 1. All others are always logged. Below 1, each line
            of a 200 has a `sample_ratio`, so that counts can be extrapolated.
    """

    def __init__(self, *, log_questions: bool = False, sample_ratio: float = 1.0) -> None:
        self._log_questions = log_questions
        self._sample_ratio = sample_ratio
        self._sample_field = f',"sample_ratio":{sample_ratio!r}' if sample_ratio < 1.0 else ""

    def write(self, context: RequestContext, duration: float) -> None:
        """Log a request that took `duration` seconds."""
        if log_stream.level > logging.INFO or (
            self._sample_field and context.status == _STATUS_OK and self._is_sampled_out()
        ):
            return
        format_line = self._format_line if log_stream.as_json else self._format_console_line
        log_stream.write_later((format_line, context, duration))

    def _is_sampled_out(self) -> bool:
        """Sample at random: request ids are chosen by clients and would bias a hash."""
        return random.random() >= self._sample_ratio  # noqa: S311 - not a secret

    def _format_line(self, context: RequestContext, duration: float) -> bytes:
        """Return the line as JSON. Times are in milliseconds; keys that do not apply are left out.

        Ids, callers and problem codes are well formed and need no escaping (`choose_request_id`, `parse_trace_id`).
        """
        stages = context.stages
        trace = f',"trace_id":"{context.trace_id}"' if context.trace_id else ""
        span = f',"span_id":"{context.span_id}"' if context.span_id else ""
        fields = format_request_fields(context.route, context.method, context.status, context.url_path)
        auth = "" if stages.auth is None else f',"auth_ms":{stages.auth * 1e3:.3f}'
        rate_limit = "" if stages.rate_limit is None else f',"rate_limit_ms":{stages.rate_limit * 1e3:.3f}'
        cache = "" if stages.cache is None else f',"cache_ms":{stages.cache * 1e3:.3f}'
        queue = "" if stages.queue is None else f',"queue_ms":{stages.queue * 1e3:.3f}'
        answerer = "" if stages.answerer is None else f',"answerer_ms":{stages.answerer * 1e3:.3f}'
        render = "" if stages.render is None else f',"render_ms":{stages.render * 1e3:.3f}'
        caller = f',"caller":"{context.caller}"' if context.caller else ""
        leader = f',"leader_id":"{context.leader_id}"' if context.leader_id else ""
        question = (
            f',"question":{_json_string(context.question_text)}'
            if self._log_questions and context.question_text
            else ""
        )
        sampled = self._sample_field if context.status == _STATUS_OK else ""
        problem = _format_problem_fields(context) if context.problem else ""
        return (
            f'{{"timestamp":"{_format_timestamp()}","level":"info","event":"request",'
            f'"request_id":"{context.request_id}"{trace}{span},{fields},'
            f'"duration_ms":{duration * 1e3:.3f}{auth}{rate_limit}{cache}{queue}{answerer}{render},'
            f'"client.address":{_client_json(context.client)}{caller}{leader}{question}{sampled}{problem}}}'
        ).encode()

    def _format_console_line(self, context: RequestContext, duration: float) -> bytes:
        return console.format_request(self._format_line(context, duration))


def _format_timestamp() -> str:
    """Return the current time in UTC with milliseconds, as in RFC 3339."""
    millisecond = time.time_ns() // 1_000_000
    last_millisecond, text = _last_timestamp[0]
    if millisecond != last_millisecond:
        seconds, remainder = divmod(millisecond, 1000)
        is_same_second = last_millisecond // 1000 == seconds
        before = text[:20] if is_same_second else time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds))
        text = f"{before}{remainder:03d}Z"
        _last_timestamp[0] = millisecond, text
    return text


def _format_problem_fields(context: RequestContext) -> str:
    parameter = f',"parameter":{_json_string(context.parameter)}' if context.parameter else ""
    detail = context.detail
    if len(detail) > MAX_DETAIL_LENGTH:
        detail = f"{detail[: MAX_DETAIL_LENGTH - 1]}…"
    return f',"problem":"{context.problem}"{parameter},"detail":{_json_string(detail)}'


def _json_string(text: str) -> str:
    try:
        return _encode_json(text).decode()
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot encode
        return _encode_json(text.encode("utf-8", "backslashreplace").decode()).decode()


@lru_cache(maxsize=256)
def _client_json(address: str) -> str:
    return _json_string(address)


@lru_cache(maxsize=256)
def format_request_fields(route: str, method: str, status: int, url_path: str = "") -> str:
    """Return the JSON members for method, route, path and status; `url_path` is empty unless the route is unmatched."""
    path = f',"url.path":{_json_string(url_path)}' if url_path else ""
    return (
        f'"http.request.method":{_json_string(method)},"http.route":{_json_string(route)}{path},'
        f'"http.response.status_code":{status}'
    )
