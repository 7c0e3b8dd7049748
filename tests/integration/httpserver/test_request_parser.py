"""Parsing of received bytes: requests split anywhere, malformed ones, upgrades, and arrival times."""

import json

import pytest

from askd.models import Answer, Question
from tests.support.fakes import Clock, UppercaseAnswerer, wait_until
from tests.support.raw_http import (
    MALFORMED_REQUEST,
    RawServer,
    StartServer,
    exchange,
    get_request,
    post_request,
    read_bodies,
    statuses,
)

TWO_REQUESTS = get_request("/ask?q=one") + post_request(b'{"q":"two"}')


async def test_requests_before_a_malformed_one_are_answered(start_server: StartServer) -> None:
    """Requests in the same segment before a malformed one are answered, and those after it are not."""
    server = await start_server()
    received = await exchange(
        server, TWO_REQUESTS + get_request("/nowhere") + MALFORMED_REQUEST + get_request("/ask?q=never")
    )
    assert statuses(received) == [200, 200, 404, 400]
    assert b"ONE" in received
    assert b"NEVER" not in received


async def test_segment_boundaries_make_no_difference(start_server: StartServer) -> None:
    """Two requests and a malformed one get the same responses, wherever the bytes are split."""
    server = await start_server()
    data = TWO_REQUESTS + MALFORMED_REQUEST
    for split in range(len(data) + 1):
        received = await exchange(server, data[:split], data[split:])
        assert statuses(received) == [200, 200, 400], split


async def test_full_queue_before_a_malformed_request(start_server: StartServer) -> None:
    """A hundred requests, more than the queue holds, are all answered before the malformed one."""
    server = await start_server()
    received = await exchange(server, get_request("/ask?q=one") * 100 + MALFORMED_REQUEST)
    assert statuses(received) == [200] * 100 + [400]


async def test_blank_lines_in_a_body(start_server: StartServer) -> None:
    """Blank lines in a body do not end requests."""
    server = await start_server()
    async with server.connect() as client:
        client.send(post_request(b'{"q":"two"' + b"\r\n\r\n" * 5000 + b"}") + get_request("/ask?q=three"))
        assert await read_bodies(client, 2) == [b'{"answer":"TWO"}', b'{"answer":"THREE"}']


async def test_request_after_an_ignored_upgrade(start_server: StartServer) -> None:
    """A request to upgrade is answered like any other, and so are the requests that follow it."""
    server = await start_server()
    async with server.connect() as client:
        client.send(get_request("/ask?q=one", "Connection: upgrade", "Upgrade: websocket") + get_request("/ask?q=two"))
        assert await read_bodies(client, 2) == [b'{"answer":"ONE"}', b'{"answer":"TWO"}']
        client.send(get_request("/ask?q=three"))
        assert await read_bodies(client, 1) == [b'{"answer":"THREE"}']


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get_request("askd:80", method="CONNECT"), 404),
        (get_request("askd:80", "Expect: much", method="CONNECT"), 417),
        (get_request("/ask?q=one", "Expect: much", method="PROPFIND"), 417),
        (get_request("http://other/ask?q=one", "Expect: much"), 417),
    ],
)
async def test_aiohttp_never_responds_itself(start_server: StartServer, request_bytes: bytes, status: int) -> None:
    """CONNECT, rare methods and unknown expectations get a problem with a request id, like any other request."""
    response = await (await start_server()).send_request(request_bytes)
    assert (response.status, json.loads(response.body)["status"]) == (status, status)
    assert (response.headers["server"], "x-request-id" in response.headers) == ("askd", True)


class ArrivalTimeRecorder(UppercaseAnswerer):
    """Records the arrival time of each question, relative to the start of the server."""

    def __init__(self) -> None:
        super().__init__()
        self.arrival_times: list[float] = []
        self.server: RawServer | None = None

    async def answer(self, question: Question) -> Answer:
        """Record the arrival time that the connection reports."""
        assert self.server
        self.arrival_times += [
            connection.arrived_at - self.server.started_at
            for connection in self.server.server_connections()
            if connection.is_busy
        ]
        return await super().answer(question)


async def test_arrival_time_is_that_of_the_first_byte(start_server: StartServer) -> None:
    """Requests that arrive together have the same arrival time, and the body does not count."""
    clock, recorder = Clock(), ArrivalTimeRecorder()
    server = recorder.server = await start_server(recorder, clock=clock)
    async with server.connect() as client:
        await wait_until(server.server_connections)
        receive = server.server_connections()[0].data_received
        for segment in (
            b"G",
            get_request("/ask?q=one")[1:-2],
            b"\r\n" + get_request("/ask?q=two") + post_request(b"")[:-2],
        ):
            receive(segment)
            clock.advance(1.0)
        assert [(await client.read_response()).status for _ in range(2)] == [200, 200]
        receive(b"\r\n")
        assert (await client.read_response()).status == 400
        clock.advance(1.0)
        for segment in (b"\r\n", post_request(b'{"q":"three"}')[:-1], b"}", get_request("/ask?q=four")):
            receive(segment)
            clock.advance(1.0)
        assert [(await client.read_response()).status for _ in range(2)] == [200, 200]
    assert recorder.arrival_times == [0.0, 2.0, 5.0, 7.0]
