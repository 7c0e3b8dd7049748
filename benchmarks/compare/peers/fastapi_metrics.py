"""FastAPI as people deploy it with metrics: uvicorn on uvloop and httptools, no log. Usage: fastapi_metrics.py PORT."""
# mypy: disable-error-code="import-not-found"
# (FastAPI is installed for `make bench` alone, not where the types are checked)

import sys

import uvicorn
from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator


async def ask(q: str) -> dict[str, str]:
    """Give the answer that askd's built-in book gives to `hello`."""
    return {"answer": "Hi" if q == "hello" else "?"}


app = FastAPI()
app.add_api_route("/ask", ask)
Instrumentator().instrument(app).expose(app)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False)
