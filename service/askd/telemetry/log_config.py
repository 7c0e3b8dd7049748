"""Logs: structlog for askd and the standard library's `logging` for everyone's code, in one form, with one set of ids.

One line is one write to standard error: JSON, or colours on a terminal.
"""

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, BinaryIO

import msgspec
import structlog

from service.telemetry.exchange import CURRENT
from service.telemetry.output import now, output

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_QUIET = {"asyncio": logging.WARNING, "watchfiles": logging.WARNING}
_encoder = msgspec.json.Encoder(enc_hook=str)

Event = MutableMapping[str, Any]


def configure(level: str, form: str, *, stream: BinaryIO | None = None) -> None:
    """Set structlog and `logging` up. `form` is json, console, or auto: console where the stream is a terminal.

    `stream` takes bytes; None is standard error.
    """
    output.stream = stream or sys.stderr.buffer
    terminal = output.stream.isatty()
    output.json = form == "json" or (form == "auto" and not terminal)
    last: list[Any] = [structlog.processors.format_exc_info, _render_json]
    if not output.json:
        # Plain, because rich, where it is installed, would show local variables: questions and secrets among them.
        traceback = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=traceback)]
    shared: list[Any] = [structlog.processors.add_log_level, _stamp]
    _configure_standard_library(shared, last)
    structlog.configure(processors=[*shared, *last], logger_factory=lambda *_: output)
    set_level(_LEVELS[level])
    threading.excepthook = _thread_died
    sys.excepthook = _process_died
    sys.unraisablehook = _unraisable


def _configure_standard_library(shared: list[Any], last: list[Any]) -> None:
    handler = _Handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_logger, structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.root.handlers[:] = [handler]
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(capture=True)


def set_level(level: int) -> None:
    """Log from this level of `logging` on; holds for loggers that exist already."""
    output.level = level
    logging.root.setLevel(level)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


def toggle_debug(level: str) -> str:
    """Switch between debug and the configured `level`; returns the level now in force."""
    new = level if output.level == logging.DEBUG and level != "debug" else "debug"
    set_level(_LEVELS[new])
    return new


class _Handler(logging.Handler):
    """Writes what `logging` is told to the same place."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            output.msg(self.format(record))
        except Exception:
            self.handleError(record)


def _add_logger(_logger: Any, _method: str, event: Event) -> Event:
    event["logger"] = event["_record"].name
    return event


def _stamp(_logger: Any, _method: str, event: Event) -> Event:
    """Add the time, and the ids of the exchange that the line belongs to."""
    event["timestamp"] = now()
    exchange = CURRENT.get()
    if exchange is not None:
        event.setdefault("id", exchange.id)
        if exchange.trace_id:
            event.setdefault("trace_id", exchange.trace_id)
        if exchange.span_id:
            event.setdefault("span_id", exchange.span_id)
    return event


def _render_json(_logger: Any, _method: str, event: Event) -> str:
    """Time, level and event first, then the rest in the order in which it came."""
    first = {name: event.pop(name, "") for name in ("timestamp", "level", "event")}
    try:
        return _encoder.encode({**first, **event}).decode()
    except Exception:  # half surrogate pairs, a loop in the data, an object that cannot say what it is
        return _encoder.encode({ascii(name)[1:-1]: _safe(value) for name, value in {**first, **event}.items()}).decode()


def _safe(value: Any) -> Any:
    try:
        return ascii(value)[1:-1] if isinstance(value, str) else msgspec.Raw(_encoder.encode(value))
    except Exception:
        return _described(value)


def _described(value: Any) -> str:
    try:
        return ascii(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _thread_died(args: Any) -> None:
    if not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else ""
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        structlog.get_logger("askd").error("uncaught error in a thread", thread=name, exc_info=info)


def _process_died(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    structlog.get_logger("askd").error("uncaught error", exc_info=(kind, error, trace))


def _unraisable(args: Any) -> None:
    """Log what was raised where nothing can catch it, in a finaliser for one."""
    info = (args.exc_type, args.exc_value, args.exc_traceback)
    structlog.get_logger("askd").error("uncaught error", detail=args.err_msg or "in a finaliser", exc_info=info)


def loop_failed(_loop: Any, context: Mapping[str, Any]) -> None:
    """Log what asyncio's exception handler is told, once, with the traceback where there is one."""
    structlog.get_logger("askd").error(
        "uncaught error in the event loop",
        detail=context.get("message", ""),
        exc_info=context.get("exception"),
        **_ids(context.get("task") or context.get("future")),
    )


def _ids(task: Any) -> dict[str, str]:
    """Return the id of the exchange in which a task was made, that ended when nobody looked; Python 3.11 tells none."""
    exchange = task.get_context().get(CURRENT) if hasattr(task, "get_context") else None
    return {"id": exchange.id} if exchange else {}
