"""A Robyn app with one process and one worker: a constant answer, without a log. Argument: PORT."""
# mypy: disable-error-code="import-not-found,untyped-decorator"
# (Robyn is optional in the environment of `make bench`)

import sys
from pathlib import Path

port = int(sys.argv[1])
sys.argv[1:] = ["--processes", "1", "--workers", "1", "--log-level", "ERROR"]  # Robyn reads the command line

from robyn import Headers, Response, Robyn  # noqa: E402 - after the command line is set

HEADERS = Headers({"content-type": "application/json"})
app = Robyn(str(Path(__file__).resolve()))


@app.get("/ask")
async def ask() -> Response:
    """Return the answer of askd's built-in book to `hello`."""
    return Response(status_code=200, headers=HEADERS, description='{"answer":"Hi"}')


if __name__ == "__main__":
    app.start(host="127.0.0.1", port=port)
