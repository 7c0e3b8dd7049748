"""Entry point of `askd` and `python -m askd`: prepares the process before the slow imports of the command line."""

import os
import signal
import sys
from typing import Final

_STANDARD_STREAMS: Final = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_WRONLY), ("stderr", "w", os.O_WRONLY))


def open_missing_streams() -> None:
    """Open /dev/null for each standard stream that is closed (`2>&-`).

    Otherwise the next file or connection gets its descriptor, and would receive what is written to the stream.
    """
    for descriptor, (name, mode, flags) in enumerate(_STANDARD_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115 it stays open


def handle_early_signals() -> None:
    """Handle signals that arrive before the server has installed its handlers.

    By default, SIGUSR1 and SIGUSR2 end a process, and the first process of a container ignores SIGTERM, so that the
    container would be killed only after its grace period.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda *_: None)  # not SIG_IGN, which the user's subprocesses would inherit
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


def main() -> int:
    """Run the command line and return the exit code."""
    open_missing_streams()
    handle_early_signals()
    from askd.cli.main import main as run_command_line  # noqa: PLC0415 after the signals

    return run_command_line()


if __name__ == "__main__":
    sys.exit(main())
