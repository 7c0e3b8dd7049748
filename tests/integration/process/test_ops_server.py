"""Ops server: health checks and metrics in a separate thread."""

import http.client
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from askd.config import Settings
from askd.guards.health import Health
from askd.process.ops_server import OpsServer
from askd.telemetry.metrics import Metrics
from tests.support.fakes import Clock
from tests.support.log_capture import LogCapture


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listen on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server_socket:
        yield server_socket


def get(listener: socket.socket, path: str) -> tuple[int, bytes]:
    """Send a request on a new connection. Returns the status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    result = response.status, response.read()
    connection.close()
    return result


def test_probes_respond_while_the_main_thread_is_blocked(listener: socket.socket) -> None:
    """Probes and scrapes are served, and not counted, while the main thread is blocked; liveness reports the stall."""
    clock = Clock()
    health, metrics = Health(30.0, clock=clock), Metrics([1.0])
    with LogCapture():
        ops = OpsServer(Settings(), health, metrics, [listener])
        ops.start()
        assert get(listener, "/livez")[0] == 200
        clock.advance(31)
        assert get(listener, "/livez")[0] == 503
        assert b"http_server_request_duration_seconds" in get(listener, "/metrics")[1]
        assert get(listener, "/ask?q=hello")[0] == 404
        ops.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "askd-ops"]
    labels = {"http_route": "/livez", "http_request_method": "GET", "http_response_status_code": "200"}
    assert metrics.registry.get_sample_value("http_server_request_duration_seconds_count", labels) is None


def test_failed_ops_server_is_logged_and_can_be_stopped(listener: socket.socket) -> None:
    """If the endpoints cannot be served, the error is logged, and `start` and `stop` return."""
    listener.close()
    with LogCapture() as log:
        ops = OpsServer(Settings(), Health(30.0), Metrics([1.0]), [listener])
        ops.start()
        ops.stop()
        assert "exception" in log.lines("ops_server_failed")[0]


def test_malformed_requests_get_400(listener: socket.socket) -> None:
    """A malformed request on the ops port gets the constant 400 and is counted."""
    metrics = Metrics([1.0])
    with LogCapture():
        ops = OpsServer(Settings(), Health(30.0), metrics, [listener])
        ops.start()
        with socket.create_connection(listener.getsockname(), timeout=5) as client:
            client.sendall(b"\x16\x03\x01\r\n\r\n")
            assert client.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{listener.getsockname()[1]}/livez", timeout=5) as response:
            assert response.status == 200
        ops.stop()
    labels = {"http_route": "malformed", "http_request_method": "_OTHER", "http_response_status_code": "400"}
    assert metrics.registry.get_sample_value("http_server_request_duration_seconds_count", labels) == 1
