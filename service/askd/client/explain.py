"""`askd explain`: measures one or more requests, to a server or to the answerer served in this process."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from askd.app import LOAD_TASK, create_app, create_server
from askd.client import rendering
from askd.client.errors import RequestFailed
from askd.client.request_measurement import RequestMeasurement, measure_request
from askd.client.session import Session
from askd.client.target import OutgoingRequest, ServerTarget, parse_url
from askd.config import Settings
from askd.httpserver import sockets
from askd.telemetry import log_config

HOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def serve_in_process(settings: Settings) -> AsyncIterator[str]:
    """Serve the configured answerer on a free port of the loopback interface, and yield the URL once it is loaded.

    Limits and cache apply as configured. Tokens and TLS are disabled, because this process is the only client. Only
    warnings and errors are logged.

    Raises:
        StartupError: The server cannot start with these settings.
    """
    local = dataclasses.replace(
        settings, host=HOST, port=0, ops_port=None, tokens_file=None, tls_cert=None, tls_key=None
    )
    log_config.configure("warning", settings.log_format)
    asyncio.get_running_loop().set_exception_handler(log_config.handle_loop_exception)
    app = create_app(local)
    server = create_server(app, shutdown_timeout=1.0)
    await server.start()
    try:
        await app[LOAD_TASK]
        (listener,) = sockets.open_listeners(HOST, 0, None, default_port=0).main
        port = listener.getsockname()[1]
        server.listen(listener)
        yield f"http://{HOST}:{port}{settings.prefix}"
    finally:
        await server.close()


class ExplainReport:
    """Measurements of a question that was sent once or several times."""

    def __init__(self, question: str, measurements: list[RequestMeasurement], failures: list[RequestFailed]) -> None:
        self._question = question
        self._measurements = measurements
        self._failures = failures

    @property
    def failure(self) -> RequestFailed | None:
        """The first failure if no request succeeded, otherwise None."""
        succeeded = any(measurement.status == 200 for measurement in self._measurements)
        return None if succeeded or not self._failures else self._failures[0]

    def iter_lines(self) -> Iterator[str]:
        """Yield the report for the terminal."""
        without_response = self._failures_without_response
        if len(self._measurements) == 1 and not without_response:
            yield from rendering.render_timeline(self._question, self._measurements[0])
        elif self._measurements:
            yield from rendering.render_summary(self._question, self._measurements, without_response)

    def to_json(self) -> str:
        """Return the report as JSON: one measurement, a failure, or a summary with all measurements."""
        without_response = self._failures_without_response
        report: Any
        if not self._measurements:
            report = without_response[0].to_dict()
        elif len(self._measurements) == 1 and not without_response:
            report = self._measurements[0]
        else:
            report = rendering.build_summary(self._measurements, without_response)
        return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()

    @property
    def _failures_without_response(self) -> list[RequestFailed]:
        return [failure for failure in self._failures if failure.status is None]


async def measure_repeatedly(
    target: ServerTarget, request: OutgoingRequest, *, repeat: int, keep_alive: bool
) -> ExplainReport:
    """Send the question `repeat` times, one after another, on one connection if `keep_alive`."""
    measurements, failures = [], []
    async with Session(target, keep_alive=keep_alive) as session:
        for _ in range(repeat):
            try:
                measurement, failure = await measure_request(session, request)
            except RequestFailed as error:
                failures.append(error)
                continue
            measurements.append(measurement)
            failures += [failure] if failure else []
    return ExplainReport(request.question, measurements, failures)


@contextlib.asynccontextmanager
async def open_target(
    target: ServerTarget | None, settings: Settings, *, timeout: float
) -> AsyncIterator[ServerTarget]:
    """Yield `target`, or if it is None, the configured answerer served in this process with `timeout` in seconds."""
    if target is not None:
        yield target
        return
    async with serve_in_process(settings) as url:
        yield ServerTarget(parse_url(url), timeout=timeout)
