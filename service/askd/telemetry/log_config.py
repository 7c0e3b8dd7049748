"""Log configuration: structlog and the standard library's `logging` produce the same lines with the same ids.

Lines are JSON, or text for people on a terminal. Each is written to standard error with one system call.
"""

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec
import structlog

from askd.context import request_context_var
from askd.telemetry.console import format_clock_time
from askd.telemetry.log_stream import log_stream

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LIBRARY_LEVELS = {"asyncio": logging.WARNING}
_encoder = msgspec.json.Encoder(enc_hook=str)

EventDict = MutableMapping[str, Any]


def configure(level: str, log_format: str, *, stream: BinaryIO | None = None) -> None:
    """Configure structlog and `logging`, and log uncaught exceptions.

    Args:
        level: debug, info, warning or error.
        log_format: json, console, or auto: console if the stream is a terminal, otherwise json.
        stream: Binary stream; None means standard error.
    """
    log_stream.stream = stream or sys.stderr.buffer
    is_terminal = log_stream.stream.isatty()
    log_stream.as_json = log_format == "json" or (log_format == "auto" and not is_terminal)
    log_stream.use_colors = is_terminal
    renderers: list[Any] = [structlog.processors.format_exc_info, _render_json]
    if not log_stream.as_json:
        # Plain: rich, if it is installed, would show local variables, which may be questions and secrets.
        traceback = structlog.dev.plain_traceback
        renderers = [structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=traceback)]
    processors: list[Any] = [structlog.processors.add_log_level, _add_timestamp_and_ids]
    _configure_standard_library(processors, renderers)
    structlog.configure(processors=[*processors, *renderers], logger_factory=lambda *_: log_stream)
    set_level(_LEVELS[level])
    threading.excepthook = _log_thread_exception
    sys.excepthook = _log_uncaught_exception
    sys.unraisablehook = _log_unraisable_exception


def _configure_standard_library(processors: list[Any], renderers: list[Any]) -> None:
    handler = _OutputHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_logger_name, structlog.stdlib.ExtraAdder(), *processors],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.root.handlers[:] = [handler]
    for name, level in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)


def set_level(level: int) -> None:
    """Set the minimum level, a number of `logging`, for all loggers including existing ones."""
    log_stream.level = level
    logging.root.setLevel(level)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


def toggle_debug(level: str) -> str:
    """Switch between debug and the configured `level`; return the name of the new level."""
    new_level = level if log_stream.level == logging.DEBUG and level != "debug" else "debug"
    set_level(_LEVELS[new_level])
    return new_level


class _OutputHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            log_stream.msg(self.format(record))
        except Exception:
            self.handleError(record)


def _add_logger_name(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event["logger"] = event["_record"].name
    return event


def _add_timestamp_and_ids(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add the time and the ids of the current request."""
    if log_stream.as_json:
        event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    else:
        event["timestamp"] = format_clock_time()
    context = request_context_var.get()
    if context is not None:
        event.setdefault("request_id", context.request_id)
        if context.trace_id:
            event.setdefault("trace_id", context.trace_id)
        if context.span_id:
            event.setdefault("span_id", context.span_id)
    return event


def _render_json(_logger: Any, _method: str, event: EventDict) -> str:
    """Return the line with timestamp, level and event first, and the other keys in the order of their addition."""
    fields = {**{name: event.pop(name, "") for name in ("timestamp", "level", "event")}, **event}
    try:
        return _encoder.encode(fields).decode()
    except Exception:  # lone surrogates, cyclic data, an object whose __str__ raises
        return _encoder.encode({ascii(name)[1:-1]: _encode_safely(value) for name, value in fields.items()}).decode()


def _encode_safely(value: Any) -> Any:
    try:
        return ascii(value)[1:-1] if isinstance(value, str) else msgspec.Raw(_encoder.encode(value))
    except Exception:
        return _safe_repr(value)


def _safe_repr(value: Any) -> str:
    try:
        return ascii(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _log_thread_exception(args: Any) -> None:
    if not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else ""
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        structlog.get_logger("askd").error("uncaught_thread_exception", thread=name, exc_info=exc_info)


def _log_uncaught_exception(exc_type: type[BaseException], exc: BaseException, traceback: Any) -> None:
    structlog.get_logger("askd").error("uncaught_exception", exc_info=(exc_type, exc, traceback))


def _log_unraisable_exception(args: Any) -> None:
    """Log an exception that nothing can catch, for example in a finalizer."""
    exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
    detail = args.err_msg or "in a finalizer"
    structlog.get_logger("askd").error("unraisable_exception", detail=detail, exc_info=exc_info)


def handle_loop_exception(_loop: Any, context: Mapping[str, Any]) -> None:
    """Exception handler for asyncio loops: log the error once, with its traceback if it has one."""
    structlog.get_logger("askd").error(
        "uncaught_event_loop_exception",
        detail=context.get("message", ""),
        exc_info=context.get("exception"),
        **_request_id_field(context.get("task") or context.get("future")),
    )


def _request_id_field(task: Any) -> dict[str, str]:
    """Return the id of the request that created the task; empty on Python 3.11, which lacks `Task.get_context`."""
    context = task.get_context().get(request_context_var) if hasattr(task, "get_context") else None
    return {"request_id": context.request_id} if context else {}
