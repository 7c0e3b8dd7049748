"""What `helm test` does: ask from inside the cluster, and look at what a cluster looks at.

Arguments: the service's address, the ops address, a question, and how to ask: open, token, or refused where tokens are
on and none was given to the test.
"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

Reply = tuple[int, str, str]
Holds = Callable[[str, str], bool]

CONTEXT = ssl._create_unverified_context()  # noqa: S323, SLF001 - the address here is the Service's, not the certificate's name


def get(url: str, token: str = "") -> Reply:
    """Return status, content type and body, whatever the status is."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the chart gives the address
    try:
        reply = urllib.request.urlopen(request, timeout=30, context=CONTEXT)  # noqa: S310 - as above
    except urllib.error.HTTPError as refused:
        reply = refused
    with reply:
        return reply.status, reply.headers.get("Content-Type", ""), reply.read().decode()


def wait(url: str, seconds: float = 20) -> Reply:
    """Return when something listens: a Service reaches a node a second or two after its pods are ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return get(url)
        except urllib.error.URLError as nobody:
            print(f"waiting  {url}: {nobody.reason}", flush=True)
            time.sleep(0.5)
    sys.exit(f"{url} was not reached within {seconds} s: do the Service's endpoints and a NetworkPolicy allow it?")


def expect(name: str, found: Reply, *statuses: int, holds: Holds = lambda _type, _body: True) -> None:
    """Print what was looked at; a status or body that is not as it must be ends the test."""
    status, content_type, body = found
    good = status in statuses and holds(content_type, body)
    print(f"{'ok    ' if good else 'FAILED'} {name}: {status} {content_type}", flush=True)
    if not good:
        sys.exit(f"{name}: expected {' or '.join(map(str, statuses))}, got {status}: {body[:500]}")


def main(service: str, ops: str, question: str, how: str) -> None:
    """Ask, then look at docs, a fault, the probes and the metrics."""
    token = Path("/etc/askd/test/token").read_text(encoding="utf-8").strip() if how == "token" else ""
    wait(f"{ops}/livez")
    wait(f"{service}/")
    asked = get(f"{service}/ask?{urllib.parse.urlencode({'q': question})}", token)
    if how == "refused":
        expect("a question without a token", asked, 401)
    else:  # a book or code of one's own may have no answer to this question, and says so
        expect("a question", asked, 200, 404, holds=lambda _, body: {"answer", "detail"} & json.loads(body).keys())
    nowhere = get(f"{service}/no-such-page", token)
    expect("a fault", nowhere, 404, 401, holds=lambda kind, _: "problem+json" in kind)
    expect("docs", get(f"{service}/openapi.json", token), *((200, 401) if how == "refused" else (200,)))
    for probe in ("livez", "readyz", "startupz"):
        expect(probe, get(f"{ops}/{probe}"), 200)
    expect("metrics", get(f"{ops}/metrics"), 200, holds=lambda _, body: "askd_build_info" in body)


main(*sys.argv[1:])
