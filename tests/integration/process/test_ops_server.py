"""The ops port: probes and metrics in a thread of their own, whatever the main loop does."""

import http.client
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from service.guards.health import Health
from service.ops_thread import OpsThread
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.fakes import Clock
from tests.telemetry.captured import Captured


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listen on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def get(listener: socket.socket, path: str) -> tuple[int, bytes]:
    """Ask on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.status, response.read()
    connection.close()
    return body


def test_probes_answer_while_nothing_else_moves(listener: socket.socket) -> None:
    """While the main thread runs no loop at all, probes and scrapes are answered, and tell of the stall."""
    clock = Clock()
    health, metrics = Health(30.0, clock=clock), Metrics([1.0])
    with Captured():
        ops = OpsThread(Settings(), health, metrics, [listener])
        ops.start()
        assert get(listener, "/livez")[0] == 200
        clock.advance(31)
        assert get(listener, "/livez")[0] == 503
        assert b"askd_requests_total" in get(listener, "/metrics")[1]
        assert get(listener, "/ask?q=hello")[0] == 404
        ops.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "askd-ops"]
    labels = {"route": "/livez", "method": "GET", "code": "200"}
    assert metrics.registry.get_sample_value("askd_requests_total", labels) == 1


def test_an_ops_port_that_fails_is_logged_and_can_be_stopped(listener: socket.socket) -> None:
    """Where the endpoints cannot be served the log says why; start and stop return."""
    listener.close()
    with Captured() as log:
        ops = OpsThread(Settings(), Health(30.0), Metrics([1.0]), [listener])
        ops.start()
        ops.stop()
        assert "exception" in log.lines("the ops port failed")[0]


def test_malformed_requests_are_met_there_as_well(listener: socket.socket) -> None:
    """The ops port answers what is no HTTP with the same constant 400, counted in the same metrics."""
    metrics = Metrics([1.0])
    with Captured():
        ops = OpsThread(Settings(), Health(30.0), metrics, [listener])
        ops.start()
        with socket.create_connection(listener.getsockname(), timeout=5) as client:
            client.sendall(b"\x16\x03\x01\r\n\r\n")
            assert client.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{listener.getsockname()[1]}/livez", timeout=5) as response:
            assert response.status == 200
        ops.stop()
    labels = {"route": "malformed", "method": "other", "code": "400"}
    assert metrics.registry.get_sample_value("askd_requests_total", labels) == 1
