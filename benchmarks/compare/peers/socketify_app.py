"""A socketify app: a constant answer, without a log. Argument: PORT."""
# mypy: disable-error-code="import-not-found"
# (socketify is optional in the environment of `make bench`)

import sys
from typing import Any

from socketify import App


def ask(response: Any, _request: Any) -> None:
    """Return the answer of askd's built-in book to `hello`."""
    response.write_header("content-type", "application/json").end('{"answer":"Hi"}')


if __name__ == "__main__":
    app = App()
    app.get("/ask", ask)
    app.listen(int(sys.argv[1]), lambda _config: None)
    app.run()
