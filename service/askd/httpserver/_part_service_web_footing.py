"""What the connection rests on in aiohttp beyond its documentation, looked for at the start.

All names are those of aiohttp 3.14. `check` reads them off the classes, so that another version of aiohttp that lacks
one stops the start, and not the first request.
"""

from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from service.errors import StartupError

RESTS_ON: Final[Mapping[type, tuple[str, ...]]] = {
    RequestHandler: (
        *("connection_made", "connection_lost", "data_received", "handle_error", "close", "force_close"),
        "transport",
        "writing_paused",
        "_loop",
        "_pause_reading_for_buffer",
        "_resume_reading_for_buffer",
        "_resume_reading_if_drained",  # called by `start` when half of the queue is begun
        "_manager",  # the server; None once the connection is lost
        "_parser",  # whose `message_consumed` must be called for each message taken from `_messages`
        "_messages",  # parsed and not begun: a deque of message and payload
        "_msg_queue_resume_size",  # as many of them are left when the reading goes on
        "_buffer_paused",  # whether the reading has stopped for that
        "_max_msg_queue_size",  # so many of them stop the reading, until half are begun
        "_waiter",  # a future while `start` waits for a message, else None
        "_request_factory",  # makes the request of each exchange, and is None in the end
        "_keepalive_handle",  # `start` makes a timer where this is None
        "_current_request",  # None when the handler has returned
        "_lingering_time",
        "_close",
        "_force_close",
    ),
    web.Server: ("__call__", "pre_shutdown", "shutdown"),
    web.AppRunner: ("_make_server",),
    http_parser.RawRequestMessage: ("_replace", "method", "should_close", "upgrade"),
    http_parser.HttpRequestParser: ("feed_data", "message_consumed"),
}
SERVER_OBJECT: Final = (
    *("request_handler", "request_factory", "requests_count", "handler_cancellation"),
    *("_loop", "_kwargs"),
)
"""What a server has once it is made."""
C_PARSER: Final = "aiohttp._http_parser"


def check(rests_on: Mapping[type, tuple[str, ...]] = RESTS_ON) -> None:
    """Raise StartupError, with the mend, where aiohttp lacks what is rested on, or parses in Python.

    Its parser in Python is slower by an order of magnitude, and was more lenient in the past.
    """
    parser = http_parser.HttpRequestParser.__module__
    if parser != C_PARSER:
        raise StartupError(
            f"aiohttp's parser in C is not active ({parser} is): install aiohttp from a wheel, and unset "
            f"AIOHTTP_NO_EXTENSIONS"
        )
    for owner, names in rests_on.items():
        look_for(owner, *names)


def look_for(owner: object, *names: str) -> None:
    """Raise StartupError, with the mend, where a class or an object lacks one of the names."""
    missing = sorted(set(names) - set(dir(owner)))  # a class has every name of its metaclass for `hasattr`
    if missing:
        kind = owner if isinstance(owner, type) else type(owner)
        raise StartupError(
            f"aiohttp {aiohttp.__version__} has no {kind.__name__}.{missing[0]}, which askd rests on: install a "
            f"version that it works with, 3.14.5 or the one in requirements.lock"
        )
