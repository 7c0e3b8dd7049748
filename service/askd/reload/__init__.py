"""`--reload`, for development: a supervisor process that starts and replaces worker processes.

    supervisor   owns the listening sockets, watches the files, starts and replaces workers; never imports user code
        │ control channel: a socket pair; the worker reports its state, the supervisor sends commands
    worker       the normal server, on the inherited sockets; if the user's code is broken, it responds with 503

A new worker starts to accept connections when its load has succeeded or failed. Only then does the old worker stop
accepting; it exits after its last response. If a worker crashes, the supervisor starts one that serves the error.
Either side exits when the other end of the channel closes.
"""

import os
from typing import Final

WORKER_VARIABLE: Final = "_ASKD_WORKER"
"""Environment variable that makes a process a worker. It is removed at once: child processes must not inherit it."""

worker_bootstrap_json: Final = os.environ.pop(WORKER_VARIABLE, None)
"""WorkerBootstrap as JSON. None if this process is not a worker."""


def is_worker() -> bool:
    """Whether a supervisor started this process."""
    return worker_bootstrap_json is not None
