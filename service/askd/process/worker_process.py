"""The process of a worker: signals, logs and traces around `answerers/worker_processes/runtime.py`."""

import asyncio
import ctypes
import faulthandler
import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Final

import msgspec
import uvloop

from askd.answerers import registry
from askd.answerers.worker_processes.runtime import LogStream, MessageSender, WorkerRuntime, receive_bootstrap
from askd.config import Settings
from askd.telemetry import log_config, tracing

_PR_SET_NAME: Final = 15
_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Run a worker. The arguments are the descriptors of its socket and of the pipe for crash reports."""
    socket_fd, crash_report_fd = (int(argument) for argument in sys.argv[1:3])
    del sys.argv[1:]
    _end_with_server()
    for fd in (socket_fd, crash_report_fd):
        os.set_inheritable(fd, False)  # processes that the code starts must not keep them open
    os.set_blocking(crash_report_fd, False)  # nobody reads a long report before this process has ended
    faulthandler.enable(crash_report_fd)
    faulthandler.register(signal.SIGUSR1)
    # The server decides when a worker ends. Handlers, because processes that the code starts inherit ignored signals.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    sock = socket.socket(fileno=socket_fd)
    try:
        settings = msgspec.json.decode(receive_bootstrap(sock), type=Settings)
    except (EOFError, OSError):
        return
    sender = MessageSender(sock)
    log_config.configure(settings.log_level, "json", stream=LogStream(sender))  # type: ignore[arg-type] # a BinaryIO as far as needed
    gc.disable()  # imports create no garbage
    runtime = WorkerRuntime(
        sock,
        sender,
        registry.create_answerer(settings),
        _Telemetry(),
        crash_report_fd=crash_report_fd,
        kill_delay=settings.kill_delay,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(log_config.handle_loop_exception)
        runner.run(runtime.run())
        os._exit(0)  # threads of the code must not delay the end


class _Telemetry:
    def __init__(self) -> None:
        self._tracing = tracing.create_worker_tracing()

    def set_log_level(self, level: int) -> None:
        log_config.set_level(level)

    def attach_trace(self, headers: Mapping[str, str]) -> None:
        if self._tracing is not None:
            self._tracing.attach(headers)

    def close(self) -> None:
        if self._tracing is not None:
            self._tracing.close()


def _end_with_server() -> None:
    """Let the kernel kill this process when the server ends, on Linux. Elsewhere it reads the end of its socket."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NAME, b"askd-worker")
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)
