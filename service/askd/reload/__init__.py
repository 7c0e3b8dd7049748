"""`--reload`, for development: a supervisor that ends with its last signal only, and workers that come and go.

    supervisor   holds the listening sockets, watches the files, starts and replaces workers; never imports user code
        │ link: a pair of sockets; the worker says how it fares, the supervisor when to leave, its end being one too
    worker       the server as ever, on the inherited sockets; where its code is broken it answers 503 with the fault

A worker that takes over accepts connections once its load is over, well or not; only then the old one leaves: it stops
accepting at once, and ends when what it accepted is answered. A worker that died is stood in for by one that has a
fault in place of an answerer.
"""

import os
from typing import Final

VARIABLE: Final = "_ASKD_WORKER"
"""The environment variable that makes a process a worker; it is taken out at once, so that no child inherits it."""

post: Final = os.environ.pop(VARIABLE, None)
"""What the supervisor wrote into it; None: this process is no worker."""


def is_worker() -> bool:
    """Whether a supervisor has started this process."""
    return post is not None
