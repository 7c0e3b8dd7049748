"""`--reload`, for development: a supervisor process that restarts a worker process when files change.

    supervisor   holds the listening sockets, watches the files, starts and stops workers; never imports user code
        │ signals; a socket pair on which a worker reports the folders that it imported from
    worker       the normal server on the inherited sockets, which accepts connections when its load has ended;
                 if the code is broken, it responds with 503

After a change, the old worker stops accepting at once and exits after its last response. New connections wait in the
kernel's accept queue until the new worker has loaded. If the supervisor exits, the socket pair closes, and so do the
workers.
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
