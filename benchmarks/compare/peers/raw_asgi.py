"""A raw ASGI app on uvicorn with uvloop and httptools: constant bytes, without an access log. Argument: PORT."""
# mypy: disable-error-code="import-not-found"
# (uvicorn is installed only in the environment of `make bench`)

import sys
from typing import Any

import uvicorn

BODY = b'{"answer":"Hi"}'
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))],
}


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    """Return the answer of askd's built-in book to `hello`."""
    await send(START)
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    options: dict[str, Any] = dict(loop="uvloop", http="httptools", access_log=False, lifespan="off", log_level="error")
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), **options)
