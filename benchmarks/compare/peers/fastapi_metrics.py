"""FastAPI with metrics on uvicorn with uvloop and httptools, without an access log. Argument: PORT."""
# mypy: disable-error-code="import-not-found"
# (FastAPI is installed only in the environment of `make bench`)

import sys

import uvicorn
from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator


async def ask(q: str) -> dict[str, str]:
    """Return the answer of askd's built-in book to `hello`."""
    return {"answer": "Hi" if q == "hello" else "?"}


app = FastAPI()
app.add_api_route("/ask", ask)
Instrumentator().instrument(app).expose(app)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False)
