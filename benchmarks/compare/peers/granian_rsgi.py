"""An RSGI app on Granian with one worker: constant bytes, without an access log. Argument: PORT."""
# mypy: disable-error-code="import-not-found"
# (Granian is optional in the environment of `make bench`)

import sys
from typing import Any

from granian import Granian
from granian.constants import Interfaces, Loops

BODY = b'{"answer":"Hi"}'
HEADERS = [("content-type", "application/json")]


async def app(_scope: Any, protocol: Any) -> None:
    """Return the answer of askd's built-in book to `hello`."""
    protocol.response_bytes(200, HEADERS, BODY)


if __name__ == "__main__":
    Granian(
        "granian_rsgi:app",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        log_enabled=False,
    ).serve()
