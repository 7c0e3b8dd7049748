"""Exposure: the same response from every replica and address, certificate renewal, NetworkPolicy and HTTPRoute."""

import base64
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme

from tests.e2e.slow.command import CommandFailed
from tests.e2e.slow.conftest import InstallRelease
from tests.e2e.slow.load_generator import (
    FAST,
    Connection,
    LoadGenerator,
    RequestKind,
    Response,
    connect_to_each_replica,
    summarise,
)
from tests.e2e.slow.namespaced_release import ROOT, Namespace, custom_resource_definition
from tests.e2e.slow.results_table import ResultsTable
from tests.support.certificates import client_context, issue_certificate, serial_number

pytestmark = pytest.mark.slow

WARMUP_REQUESTS = 300
HTTPROUTE_CRD = Path(__file__).parent / "httproute_crd.json"
"""A definition of HTTPRoutes that allows only the fields that the chart uses."""
REQUEST_SCRIPT = """
import sys, urllib.request
for url in sys.argv[1:]:
    print(urllib.request.urlopen(url + "/ask?q=hello", timeout=10).read().decode())
"""
BOOKS = ROOT / "service" / "askd" / "books"


def questions(count: int) -> list[str]:
    """Return this number of distinct questions: exact ones of the built-in book, similar ones, and unknown ones."""
    entries = [entry["ask"] for path in sorted(BOOKS.glob("*.json")) for entry in json.loads(path.read_text())]
    exact = [text for asked in entries for text in ([asked] if isinstance(asked, str) else asked)]
    assert exact
    fuzzy = [f"please tell me {text.lower().rstrip('?')} now" for text in exact]
    unknown = [f"zyx {number}" for number in range(count)]
    return list(dict.fromkeys([*exact[: count // 2], *fuzzy, *unknown]))[:count]


def comparable(response: Response) -> tuple[int, str, str, bytes]:
    """Return the parts of a response that must be equal on every replica: everything except ids and times."""
    body = response.body.replace(response.headers["x-request-id"].encode(), b"")
    return response.status, response.headers["content-type"], response.headers.get("etag", ""), body


async def test_replicas_respond_the_same(install: InstallRelease, results: ResultsTable) -> None:
    """Every replica responds with the same bytes to a thousand exact, similar and unknown questions."""
    release = await install(code=False, replicaCount=3)
    connections = await connect_to_each_replica(await release.address(), await release.pods())
    different, statuses = [], Counter[int]()
    for text in questions(1000):
        responses = [await connection.get(f"/ask?{urlencode({'q': text})}") for connection in connections.values()]
        statuses[responses[0].status] += 1
        if len({comparable(response) for response in responses}) != 1:
            different.append(text)
    for connection in connections.values():
        connection.close()
    assert statuses.keys() == {200, 404}
    counts = ", ".join(f"{count} × {status}" for status, count in statuses.items())
    measured = f"{len(different)} of 1,000 differ among 3 replicas ({counts})"
    results.add("exposure", "same bytes", aim="0 differ", measured=measured, met=not different)


async def test_every_address_responds_the_same(install: InstallRelease, results: ResultsTable) -> None:
    """NodePort, ClusterIP and DNS names return the same answer."""
    release = await install()
    namespace = release.namespace
    service = await namespace.get("service", release.name)
    names = [service["spec"]["clusterIP"], "askd", f"askd.{namespace.name}", f"askd.{namespace.name}.svc.cluster.local"]
    pod = (await release.pods())[0]
    urls = [f"http://{name}" for name in names]
    connection = await Connection.open(*await release.address())  # waits until the node forwards to the pods
    bodies = [(await connection.get("/ask?q=hello")).body.decode()]
    connection.close()
    bodies += (await namespace.kubectl("exec", pod, "--", "python", "-c", REQUEST_SCRIPT, *urls)).splitlines()
    measured = f"{len(bodies)} addresses, {len(set(bodies))} answer"
    met = set(bodies) == {'{"answer":"hello"}'}
    results.add("exposure", "NodePort, ClusterIP, DNS names", aim="same answer", measured=measured, met=met)


def tls_secret(leaf: trustme.LeafCert) -> dict[str, Any]:
    """Return the Secret with a certificate, for `tls.existingSecret`."""
    texts = {
        "tls.crt": b"".join(blob.bytes() for blob in leaf.cert_chain_pems),
        "tls.key": leaf.private_key_pem.bytes(),
    }
    data = {name: base64.b64encode(text).decode() for name, text in texts.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "tls"},
        "data": data,
    }


async def served_certificate(address: tuple[str, int]) -> tuple[str, str]:
    """Return the replica of a new connection and the serial number of its certificate."""
    connection = await Connection.open(*address, client_context())
    try:
        return (await connection.get("/ask?q=hello")).headers["x-served-by"], connection.certificate_serial
    finally:
        connection.close()


async def test_certificate_renewal(namespace: Namespace, install: InstallRelease, results: ResultsTable) -> None:
    """Every replica serves a renewed certificate within 120 s, and no request fails."""
    old, new = issue_certificate(), issue_certificate()
    await namespace.apply(tls_secret(old))
    release = await install(tls__existingSecret="tls")
    address, waiting, times = await release.address(), set(await release.pods()), []
    async with LoadGenerator(
        address,
        [FAST, RequestKind(name="slow", query="q=hello&wait=4", keepalive_connections=2, new_connections=2)],
        tls=client_context(),
    ) as load:
        await load.wait_for_requests(WARMUP_REQUESTS)
        started_at = time.monotonic()
        await namespace.apply(tls_secret(new))
        while waiting and time.monotonic() - started_at < 150:
            await load.wait_for_requests(10)
            pod, serial = await served_certificate(address)
            if serial == serial_number(new) and pod in waiting:
                waiting.discard(pod)
                times.append(f"{time.monotonic() - started_at:.0f} s")
        await load.wait_for_requests(WARMUP_REQUESTS)
    measured = f"served after {', '.join(times)}; {summarise(load.samples)}"
    met = not waiting and not load.failures
    results.add("exposure", "certificate renewal under load", aim="< 120 s, 0 failed", measured=measured, met=met)


async def test_network_policy_and_http_route(install: InstallRelease, results: ResultsTable) -> None:
    """The API server accepts the NetworkPolicy and the HTTPRoute; without its definition, the upgrade fails."""
    release = await install(networkPolicy__enabled=True)
    policy = await release.namespace.get("networkpolicy", release.name)
    assert {"Ingress", "Egress"} == set(policy["spec"]["policyTypes"])
    definition = json.loads(HTTPROUTE_CRD.read_text(encoding="utf-8"))
    with pytest.raises(CommandFailed, match=r"no matches for kind|resource mapping not found"):
        await release.upgrade(httpRoute__enabled=True, httpRoute__parentRefs=[{"name": "public"}])
    async with custom_resource_definition(definition):
        await release.upgrade(httpRoute__enabled=True, httpRoute__parentRefs=[{"name": "public"}])
        route = await release.namespace.get("httproutes.gateway.networking.k8s.io", release.name)
        timeouts = [rule["timeouts"]["request"] for rule in route["spec"]["rules"]]
    results.add(
        "exposure", "NetworkPolicy, HTTPRoute", aim="valid", measured=f"time-outs {timeouts}", met=len(timeouts) == 2
    )
