"""The app: its components, its background work, and its cleanup."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from askd.app import HEALTH, LOAD_TASK, METRICS, QUESTION_MAX_LENGTH, create_app, request_line_limit
from askd.config import Settings
from askd.errors import LoadError, SpecError
from askd.guards.tokens import TokenStore, generate_token
from askd.models import Answer, Answerer, ProgressCallback, ProgressMessage, Question
from tests.support.app_fixtures import AskdTestServer
from tests.support.fakes import UppercaseAnswerer
from tests.support.log_capture import LogCapture

Client = TestClient[Any, Any]


async def start_client(app: web.Application) -> Client:
    """Serve an app on a socket, and return a client for it."""
    client = TestClient(AskdTestServer(app))
    await client.start_server()
    return client


async def test_two_apps_share_nothing() -> None:
    """Two apps in one process have separate metrics, caches and health."""
    apps = [create_app(Settings(), answerer=UppercaseAnswerer()) for _ in range(2)]
    clients = [await start_client(app) for app in apps]
    for app in apps:
        await app[LOAD_TASK]
    for _ in range(3):
        await clients[0].get("/ask?q=abc")
    apps[0][HEALTH].drain_state.is_draining = True
    name = "http_server_request_duration_seconds_count"
    labels = {"http_route": "/ask", "http_request_method": "GET", "http_response_status_code": "200"}
    assert [app[METRICS].registry.get_sample_value(name, labels) for app in apps] == [3, 0]
    assert [(await client.get("/readyz")).status for client in clients] == [503, 200]
    for client in clients:
        await client.close()


async def test_built_in_book_is_the_default() -> None:
    """The built-in book is served if neither an answerer nor a setting names another."""
    app = create_app(Settings())
    client = await start_client(app)
    await app[LOAD_TASK]
    assert await (await client.get("/ask?q=hello")).json() == {"answer": "Hi"}
    await client.close()


def test_missing_answerer_is_rejected_at_once() -> None:
    """The answerer's spec is resolved before anything starts."""
    with pytest.raises(SpecError):
        create_app(Settings(answerer="no/such/place.yaml"))


class FailingAnswerer(UppercaseAnswerer):
    """Fails to load or to close, or hangs while it closes and ignores its cancellation."""

    def __init__(self, *, load: Exception | None = None, close: Exception | None = None, hang: bool = False) -> None:
        super().__init__()
        self._load, self._close, self._hang = load, close, hang

    async def load(self, progress: ProgressCallback) -> None:
        """Fail if an error was given."""
        progress("half way")
        if self._load:
            raise self._load

    async def close(self) -> None:
        """Hang or fail."""
        while self._hang:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                self._hang = self.release.is_set()
        self.closed = True
        if self._close:
            raise self._close


async def test_failed_load_is_reported() -> None:
    """`app[LOAD_TASK]` raises the load error, probes and questions get 503, and the answerer is still closed."""
    answerer = FailingAnswerer(load=LoadError("books/a.yaml:3: no answer"))
    app = create_app(Settings(), answerer=answerer)
    client = await start_client(app)
    with pytest.raises(LoadError, match=r"a\.yaml:3"):
        await app[LOAD_TASK]
    paths = ("/livez", "/readyz", "/startupz", "/ask?q=a")
    assert [(await client.get(path)).status for path in paths] == [200, 503, 503, 503]
    await client.close()
    assert answerer.closed


async def test_answerer_is_closed_with_the_app() -> None:
    """The answerer is closed when the app ends, even if it was still loading."""
    for slow_load in (False, True):
        answerer = UppercaseAnswerer(slow_load=slow_load)
        client = await start_client(create_app(Settings(), answerer=answerer))
        assert not answerer.closed
        await client.close()
        assert answerer.closed


async def test_hanging_answerer_does_not_delay_the_shutdown() -> None:
    """Closing respects its time limit even if the answerer suppresses its cancellation, and a warning is logged."""
    answerer = FailingAnswerer(hang=True)
    answerer.release.set()
    with LogCapture() as log:
        client = await start_client(create_app(Settings(shutdown_timeout=0.01), answerer=answerer))
        async with asyncio.timeout(5):
            await client.close()
        assert [line["timeout_seconds"] for line in log.lines("answerer_close_timeout")] == [0.01]
    answerer.release.clear()
    await asyncio.wait_for(answerer.cancelled.wait(), 5)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
        await asyncio.wait({task})


async def test_error_in_close_is_logged() -> None:
    """An exception in `close` is logged with its traceback and does not break the shutdown."""
    with LogCapture() as log:
        answerer = FailingAnswerer(close=ValueError("a secret"))
        client = await start_client(create_app(Settings(), answerer=answerer))
        await client.close()
        assert "ValueError: a secret" in log.lines("answerer_close_failed")[0]["exception"]


async def test_heartbeat_continues_until_the_answerer_is_closed() -> None:
    """The liveness probe succeeds while the answerer closes, however long that takes."""
    heartbeats: list[float] = []

    class SlowToClose(UppercaseAnswerer):
        """Closes after the next heartbeat."""

        async def close(self) -> None:
            before = health._last_heartbeat
            await wait_for_heartbeat(lambda: health._last_heartbeat > before)
            heartbeats.append(health._last_heartbeat - before)

    app = create_app(Settings(), answerer=SlowToClose())
    health = app[HEALTH]
    client = await start_client(app)
    await client.close()
    assert len(heartbeats) == 1
    assert heartbeats[0] > 0


async def wait_for_heartbeat(condition: Callable[[], bool]) -> None:
    """Wait for the heartbeat, which comes four times a second."""
    async with asyncio.timeout(4):
        while not condition():  # noqa: ASYNC110 - the heartbeat sets no event, it stores a time
            await asyncio.sleep(0)


class AnswererWithPath(UppercaseAnswerer):
    """Has a path in its name, and reports it while it loads."""

    name = "/srv/someone/main.py:answer"

    async def load(self, progress: ProgressCallback) -> None:
        """Wait for `load_allowed`."""
        progress(f"importing {self.name}")
        await self.load_allowed.wait()


async def test_probes_do_not_disclose_the_path_of_the_code() -> None:
    """Probes name the file without its folder, during the load and after it."""
    answerer = AnswererWithPath(slow_load=True)
    app = create_app(Settings(), answerer=answerer)
    client = await start_client(app)
    assert "importing main.py:answer" in await (await client.get("/readyz")).text()
    answerer.load_allowed.set()
    await app[LOAD_TASK]
    report = await (await client.get("/readyz?verbose")).text()
    assert ("main.py:answer" in report, "someone" in report) == (True, False)
    await client.close()


class AnswererWithProgress(UppercaseAnswerer):
    """Reports its progress as a fraction."""

    async def load(self, progress: ProgressCallback) -> None:
        """Wait for `load_allowed`."""
        progress(ProgressMessage.with_fraction("read 3,000 entries", 0.25))
        await self.load_allowed.wait()


async def test_probes_report_the_progress_of_the_load() -> None:
    """Readiness and startup probes show the progress in percent if it is known."""
    answerer = AnswererWithProgress(slow_load=True)
    app = create_app(Settings(), answerer=answerer)
    client = await start_client(app)
    for path in ("/readyz?verbose", "/startupz?verbose"):
        response = await client.get(path)
        assert (response.status, "read 3,000 entries (25%)" in await response.text()) == (503, True)
    answerer.load_allowed.set()
    await app[LOAD_TASK]
    await client.close()


class AnswererWithReadyHook(Answerer):
    """Has a ready hook that returns False."""

    kind = name = "hooked"

    def __init__(self) -> None:
        self.polled = asyncio.Event()

    async def ready(self) -> tuple[bool, str]:
        """Return False with a reason."""
        self.polled.set()
        return False, "the model is cold"

    async def answer(self, question: Question) -> Answer:
        """Return a constant."""
        return Answer("a")


async def test_ready_hook_decides_about_readiness() -> None:
    """The answerer's ready hook counts as soon as it is loaded, and the probe shows its reason."""
    answerer = AnswererWithReadyHook()
    app = create_app(Settings(), answerer=answerer)
    client = await start_client(app)
    await app[LOAD_TASK]
    assert answerer.polled.is_set()
    response = await client.get("/readyz")
    detail = (await response.json(content_type=None))["detail"]
    assert (response.status, detail) == (503, "ready_hook: the model is cold")
    assert (await client.get("/startupz")).status == 200
    await client.close()


@pytest.mark.parametrize(("length", "limit"), [("1000", 14048), ("1", 2060), ("10000000", 67584)])
def test_request_line_limit_fits_the_longest_question(length: str, limit: int) -> None:
    """The limit of the request line allows the longest question, percent-encoded, up to a ceiling."""
    app = create_app(Settings.load({"question_max_length": length}, {}), answerer=UppercaseAnswerer())
    assert (app[QUESTION_MAX_LENGTH], request_line_limit(app)) == (int(length), limit)


async def test_token_file_is_watched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The watcher of the token file is created once, so no coroutine is left without being awaited."""
    watched: list[TokenStore] = []

    async def wait_forever() -> None:
        await asyncio.Event().wait()

    def watch(tokens: TokenStore) -> Coroutine[Any, Any, None]:
        watched.append(tokens)
        return wait_forever()

    (tmp_path / "tokens").write_text(generate_token("alice")[1])
    monkeypatch.setattr(TokenStore, "watch", watch)
    async with TestServer(create_app(Settings(tokens_file=str(tmp_path / "tokens")), answerer=UppercaseAnswerer())):
        assert len(watched) == 1
