"""askd without request ids, counts and times of exchanges, to see what these cost. Takes askd's own arguments.

What is put in their place does nothing; what is not there to be replaced is an error, so that it cannot be missed.
`Server-Timing` stays: it is for clients.
"""

import sys
from unittest.mock import patch

from service.cli import main
from service.telemetry.tally import Tally
from service.web import hot, observe

for module in (hot, observe):
    patch.object(module, "request_id", lambda _offered: "0" * 32).start()
for name in ("observe", "count"):
    patch.object(Tally, name, lambda *_observed: None).start()

if __name__ == "__main__":
    sys.exit(main())
