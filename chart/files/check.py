"""The test that `helm test` runs inside the cluster: a request, docs, an error, the health checks and the metrics.

Arguments: URL of the service, URL of the ops port, a question, and the access to the service: `open`, `token`, or
`unauthorized` if tokens are required but the test lacks one.
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

Response = tuple[int, str, str]
Check = Callable[[str, str], bool]

# The certificate is not verified, because it is not for the name of the Service.
CONTEXT = ssl._create_unverified_context()  # noqa: S323, SLF001
TOKEN_FILE = Path("/etc/askd/test/token")


def get(url: str, token: str = "") -> Response:
    """Return status, content type and body of any response."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the URL is from the chart
    try:
        response = urllib.request.urlopen(request, timeout=30, context=CONTEXT)  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return response.status, response.headers.get("Content-Type", ""), response.read().decode()


def wait_until_reachable(url: str, seconds: float = 20) -> None:
    """Wait for a connection: a Service becomes reachable on a node a second or two after its pods are ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            get(url)
        except urllib.error.URLError as error:
            print(f"waiting  {url}: {error.reason}", flush=True)
            time.sleep(0.5)
        else:
            return
    sys.exit(f"{url} was not reachable for {seconds} s: check the Service's endpoints and the NetworkPolicy")


def expect(name: str, response: Response, *statuses: int, check: Check = lambda _type, _body: True) -> None:
    """Print the result of a request. An unexpected status, content type or body ends the test."""
    status, content_type, body = response
    ok = status in statuses and check(content_type, body)
    print(f"{'ok    ' if ok else 'FAILED'} {name}: {status} {content_type}", flush=True)
    if not ok:
        sys.exit(f"{name}: expected {' or '.join(map(str, statuses))}, got {status}: {body[:500]}")


def main(service: str, ops: str, question: str, access: str) -> None:
    """Run the test."""
    token = TOKEN_FILE.read_text(encoding="utf-8").strip() if access == "token" else ""
    wait_until_reachable(f"{ops}/livez")
    wait_until_reachable(f"{service}/")
    response = get(f"{service}/ask?{urllib.parse.urlencode({'q': question})}", token)
    if access == "unauthorized":
        expect("request without a token", response, 401)
    else:
        # A user's book or code may not know this question, which is a 404 with a problem document.
        expect(
            "request", response, 200, 404, check=lambda _, body: bool({"answer", "detail"} & json.loads(body).keys())
        )
    response = get(f"{service}/no-such-page", token)
    expect("error", response, 404, 401, check=lambda content_type, _: "problem+json" in content_type)
    docs_statuses = (200, 401) if access == "unauthorized" else (200,)
    expect("docs", get(f"{service}/openapi.json", token), *docs_statuses)
    for probe in ("livez", "readyz", "startupz"):
        expect(probe, get(f"{ops}/{probe}"), 200)
    expect("metrics", get(f"{ops}/metrics"), 200, check=lambda _, body: "askd_build_info" in body)


main(*sys.argv[1:])
