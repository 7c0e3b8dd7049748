"""A cloud exposes it: by port, address and name, encrypted, and with the same bytes from every replica."""

import base64
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme
import yaml

from tests.certificates import issue, serial, trusting

from .cluster import ROOT, Namespace, defined
from .command import Failed
from .conftest import Install
from .figures import Figures
from .load import FAST, Connection, Kind, Load, Reply, one_each, told

pytestmark = pytest.mark.proof

WARM = 300
ROUTES = Path(__file__).parent / "httproute.json"
"""A definition of HTTPRoutes that knows no more than what the chart makes, and refuses what is not so."""
INSIDE = """
import sys, urllib.request
for url in sys.argv[1:]:
    print(urllib.request.urlopen(url + "/ask?q=hello", timeout=10).read().decode())
"""
BOOKS = ROOT / "service" / "books"


def questions(count: int) -> list[str]:
    """Return so many different questions: the built-in book's own, some that it searches, unknown ones."""
    lists = [entry["ask"] for path in sorted(BOOKS.glob("*.yaml")) for entry in yaml.safe_load(path.read_text())]
    exact = [text for asked in lists for text in ([asked] if isinstance(asked, str) else asked)]
    fuzzy = [f"please tell me {text.lower().rstrip('?')} now" for text in exact]
    unknown = [f"zyx {number}" for number in range(count)]
    return list(dict.fromkeys([*exact[: count // 2], *fuzzy, *unknown]))[:count]


def same(reply: Reply) -> tuple[int, str, str, bytes]:
    """Return what has to be alike on every replica: all but ids and times."""
    body = reply.body.replace(reply.headers["x-request-id"].encode(), b"")
    return reply.status, reply.headers["content-type"], reply.headers.get("etag", ""), body


async def test_the_same_bytes(install: Install, figures: Figures) -> None:
    """A thousand questions get the same bytes from every replica, whether the book has them, finds them or does not."""
    release = await install(code=False, replicaCount=3)
    connections = await one_each(await release.address(), await release.pods())
    different, statuses = [], Counter[int]()
    for text in questions(1000):
        replies = [await each.get(f"/ask?{urlencode({'q': text})}") for each in connections.values()]
        statuses[replies[0].status] += 1
        if len({same(reply) for reply in replies}) != 1:
            different.append(text)
    for each in connections.values():
        each.close()
    assert statuses.keys() == {200, 404}
    how = ", ".join(f"{count} × {status}" for status, count in statuses.items())
    measured = f"{len(different)} of 1,000 differ among 3 replicas ({how})"
    figures.add("exposes it", "the same bytes", aim="0 differ", measured=measured, met=not different)


async def test_port_address_and_name(install: Install, figures: Figures) -> None:
    """The NodePort, the ClusterIP and the DNS names give the same answer."""
    release = await install()
    namespace = release.namespace
    service = await namespace.get("service", release.name)
    names = [service["spec"]["clusterIP"], "askd", f"askd.{namespace.name}", f"askd.{namespace.name}.svc.cluster.local"]
    pod = (await release.pods())[0]
    urls = [f"http://{name}" for name in names]
    inside = (await namespace.kubectl("exec", pod, "--", "python", "-c", INSIDE, *urls)).splitlines()
    outside = await (connection := await Connection.open(*await release.address())).get("/ask?q=hello")
    connection.close()
    found = {*inside, outside.body.decode()}
    measured = f"{len(names) + 1} ways, {len(found)} answer"
    met = found == {'{"answer":"hello"}'}
    figures.add("exposes it", "NodePort, ClusterIP, DNS names", aim="the same answer", measured=measured, met=met)


def secret(leaf: trustme.LeafCert) -> dict[str, Any]:
    """Return a certificate as the Secret that the chart takes."""
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


async def shown(address: tuple[str, int]) -> tuple[str, str]:
    """Return which replica a new connection reaches, and the serial number of the certificate that it shows."""
    connection = await Connection.open(*address, trusting())
    try:
        return (await connection.get("/ask?q=hello")).headers["x-served-by"], connection.certificate
    finally:
        connection.close()


async def test_a_certificate_that_is_renewed(namespace: Namespace, install: Install, figures: Figures) -> None:
    """A renewed certificate is shown by every replica within 120 s, and no request fails."""
    old, new = issue(), issue()
    await namespace.apply(secret(old))
    release = await install(tls__existingSecret="tls")
    address, waiting, times = await release.address(), set(await release.pods()), []
    async with Load(
        address, [FAST, Kind(name="slow", query="q=hello&wait=4", kept=2, fresh=2)], tls=trusting()
    ) as load:
        await load.more(WARM)
        began = time.monotonic()
        await namespace.apply(secret(new))
        while waiting and time.monotonic() - began < 150:
            await load.more(10)
            pod, found = await shown(address)
            if found == serial(new) and pod in waiting:
                waiting.discard(pod)
                times.append(f"{time.monotonic() - began:.0f} s")
        await load.more(WARM)
    measured = f"shown after {', '.join(times)}; {told(load.samples)}"
    met = not waiting and not load.failures
    figures.add("exposes it", "TLS, renewed under load", aim="< 120 s, 0 failed", measured=measured, met=met)


async def test_policy_and_route(install: Install, figures: Figures) -> None:
    """The API server takes the NetworkPolicy and the HTTPRoute; where it does not know the latter it says so."""
    release = await install(networkPolicy__enabled=True)
    policy = await release.namespace.get("networkpolicy", release.name)
    assert {"Ingress", "Egress"} == set(policy["spec"]["policyTypes"])
    definition = json.loads(ROUTES.read_text(encoding="utf-8"))
    with pytest.raises(Failed, match=r"no matches for kind|resource mapping not found"):
        await release.upgrade(httpRoute__enabled=True, httpRoute__parentRefs=[{"name": "public"}])
    async with defined(definition):
        await release.upgrade(httpRoute__enabled=True, httpRoute__parentRefs=[{"name": "public"}])
        found = await release.namespace.get("httproutes.gateway.networking.k8s.io", release.name)
        limits = [rule["timeouts"]["request"] for rule in found["spec"]["rules"]]
    figures.add(
        "exposes it", "NetworkPolicy, HTTPRoute", aim="valid", measured=f"time-outs {limits}", met=len(limits) == 2
    )
