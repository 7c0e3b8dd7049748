"""askd without request ids and metrics, to measure their cost. Arguments are those of askd.

Attributes are replaced with `patch.object`, which fails if an attribute does not exist, so that a rename in askd cannot
silently bring the measured code back. `Server-Timing` stays, because it is a feature for clients.
"""

import sys
from unittest.mock import patch

from askd.api import instrumentation
from askd.cli.main import main
from askd.telemetry.metrics import RequestMetrics

CONSTANT_REQUEST_ID = "0" * 32

patch.object(instrumentation, "choose_request_id", lambda _offered: CONSTANT_REQUEST_ID).start()
patch.object(RequestMetrics, "observe", lambda *_arguments: None).start()

if __name__ == "__main__":
    sys.exit(main())
