"""The app: what is wired, what lives as long as it does, and nothing that outlives it."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from service.app import HEALTH, LOADED, LONGEST, METRICS, create_app, line_limit
from service.errors import LoadError, SpecError
from service.guards.tokens import Tokens, pair
from service.models import Answer, Answerer, Progress, Question, Step
from service.settings import Settings
from tests.fakes import Upper
from tests.telemetry.captured import Captured

Client = TestClient[Any, Any]


async def started(app: web.Application) -> Client:
    """Start an app behind a socket."""
    client = TestClient(TestServer(app))
    await client.start_server()
    return client


async def test_two_apps_share_nothing() -> None:
    """Two apps in one process have metrics, caches and health of their own."""
    apps = [create_app(Settings(), answerer=Upper()) for _ in range(2)]
    clients = [await started(app) for app in apps]
    for app in apps:
        await app[LOADED]
    for _ in range(3):
        await clients[0].get("/ask?q=abc")
    apps[0][HEALTH].draining()
    labels = {"route": "/ask", "method": "GET", "code": "200"}
    assert [app[METRICS].registry.get_sample_value("askd_requests_total", labels) for app in apps] == [3, 0]
    assert [(await client.get("/readyz")).status for client in clients] == [503, 200]
    for client in clients:
        await client.close()


async def test_the_built_in_book_answers() -> None:
    """Without an answerer or a setting the built-in book is served."""
    app = create_app(Settings())
    client = await started(app)
    await app[LOADED]
    assert await (await client.get("/ask?q=hello")).json() == {"answer": "Hi"}
    await client.close()


def test_a_spec_that_leads_nowhere_is_refused_at_once() -> None:
    """What the settings name is resolved before anything starts."""
    with pytest.raises(SpecError):
        create_app(Settings(answerer="no/such/place.yaml"))


class Failing(Upper):
    """Fails to load, to close, or hangs in either, as told."""

    def __init__(self, *, load: Exception | None = None, close: Exception | None = None, hang: bool = False) -> None:
        super().__init__()
        self._load, self._close, self._hang = load, close, hang
        self.live: list[bool] = []

    async def load(self, progress: Progress) -> None:
        """Fail, where told so."""
        progress("half way")
        if self._load:
            raise self._load

    async def close(self) -> None:
        """Hang or fail, where told so."""
        while self._hang:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.stopped.set()
                self._hang = self.release.is_set()
        self.closed = True
        if self._close:
            raise self._close


async def test_a_failed_load_is_seen() -> None:
    """`app[LOADED]` fails with what the load raised; probes say no, and the answerer is closed all the same."""
    fake = Failing(load=LoadError("books/a.yaml:3: no answer"))
    app = create_app(Settings(), answerer=fake)
    client = await started(app)
    with pytest.raises(LoadError, match=r"a\.yaml:3"):
        await app[LOADED]
    assert [(await client.get(path)).status for path in ("/livez", "/readyz", "/startupz", "/ask?q=a")] == [
        200,
        503,
        503,
        503,
    ]
    await client.close()
    assert fake.closed


async def test_an_answerer_is_closed_when_all_is_over() -> None:
    """The answerer is open while the app runs, and closed when it has ended, also if it was still loading."""
    for slow in (False, True):
        fake = Upper(slow_load=slow)
        client = await started(create_app(Settings(), answerer=fake))
        assert not fake.closed
        await client.close()
        assert fake.closed


async def test_an_answerer_that_hangs_does_not_hold_the_end_up() -> None:
    """Closing takes no longer than its bound, also where the cancellation is swallowed; the log says so."""
    fake = Failing(hang=True)
    fake.release.set()
    with Captured() as log:
        client = await started(create_app(Settings(shutdown_timeout=0.01), answerer=fake))
        async with asyncio.timeout(5):
            await client.close()
        assert [line["seconds"] for line in log.lines("the answerer did not close in time")] == [0.01]
    fake.release.clear()
    await asyncio.wait_for(fake.stopped.wait(), 5)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
        await asyncio.wait({task})


async def test_an_answerer_that_fails_to_close_is_logged() -> None:
    """A failure to close ends in the log, with its traceback, and not in the server's end."""
    with Captured() as log:
        client = await started(create_app(Settings(), answerer=Failing(close=ValueError("a secret"))))
        await client.close()
        assert "ValueError: a secret" in log.lines("the answerer failed to close")[0]["exception"]


async def test_the_loop_beats_until_the_answerer_is_closed() -> None:
    """Liveness holds while the answerer closes, however long that takes."""
    beats: list[float] = []

    class Slow(Upper):
        """Closes when the loop has beaten twice more."""

        async def close(self) -> None:
            before = health._beat
            await until_beaten(lambda: health._beat > before)
            beats.append(health._beat - before)

    app = create_app(Settings(), answerer=Slow())
    health = app[HEALTH]
    client = await started(app)
    await client.close()
    assert len(beats) == 1
    assert beats[0] > 0


async def until_beaten(condition: Callable[[], bool]) -> None:
    """Wait for the heartbeat, which comes four times a second."""
    async with asyncio.timeout(4):
        while not condition():  # noqa: ASYNC110 - the heart sets no event, it writes a time
            await asyncio.sleep(0)


class Placed(Upper):
    """Lies somewhere, and says so as it loads."""

    name = "/srv/someone/main.py:answer"

    async def load(self, progress: Progress) -> None:
        """Wait for `load_now`."""
        progress(f"importing {self.name}")
        await self.load_now.wait()


async def test_probes_do_not_tell_where_the_code_lies() -> None:
    """While it loads and after, probes name the file alone, and no folder."""
    fake = Placed(slow_load=True)
    app = create_app(Settings(), answerer=fake)
    client = await started(app)
    assert "importing main.py:answer" in await (await client.get("/readyz")).text()
    fake.load_now.set()
    await app[LOADED]
    shown = await (await client.get("/readyz?verbose")).text()
    assert ("main.py:answer" in shown, "someone" in shown) == (True, False)
    await client.close()


class Counted(Upper):
    """Knows how far its load is."""

    async def load(self, progress: Progress) -> None:
        """Wait for `load_now`."""
        progress(Step.of("read 3,000 entries", 0.25))
        await self.load_now.wait()


async def test_probes_tell_how_far_the_load_is() -> None:
    """Where the share is known, readiness and startup have it beside the line."""
    fake = Counted(slow_load=True)
    app = create_app(Settings(), answerer=fake)
    client = await started(app)
    for path in ("/readyz?verbose", "/startupz?verbose"):
        reply = await client.get(path)
        assert (reply.status, "read 3,000 entries (25%)" in await reply.text()) == (503, True)
    fake.load_now.set()
    await app[LOADED]
    await client.close()


class Hooked(Answerer):
    """Has a ready hook."""

    kind = name = "hooked"

    def __init__(self) -> None:
        self.polled = asyncio.Event()

    async def ready(self) -> tuple[bool, str]:
        """Say no."""
        self.polled.set()
        return False, "the model is cold"

    async def answer(self, question: Question) -> Answer:
        """Say a."""
        return Answer("a")


async def test_the_ready_hook_is_polled() -> None:
    """The answerer's own readiness counts from the first moment, and its reason is shown."""
    fake = Hooked()
    app = create_app(Settings(), answerer=fake)
    client = await started(app)
    await app[LOADED]
    assert fake.polled.is_set()
    response = await client.get("/readyz")
    assert (response.status, (await response.json(content_type=None))["detail"]) == (503, "code: the model is cold")
    assert (await client.get("/startupz")).status == 200
    await client.close()


@pytest.mark.parametrize(("length", "limit"), [("1000", 14048), ("1", 2060), ("10000000", 67584)])
def test_the_line_holds_the_longest_question(length: str, limit: int) -> None:
    """The request line's limit is that of the question, each character escaped, up to a ceiling."""
    app = create_app(Settings.load({"question_max_length": length}, {}), answerer=Upper())
    assert (app[LONGEST], line_limit(app)) == (int(length), limit)


async def test_what_is_watched_meanwhile_is_begun_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The watch of the tokens is made once, and leaves nothing behind that was never awaited."""
    begun: list[Tokens] = []

    async def watch(tokens: Tokens) -> None:
        await asyncio.Event().wait()

    def counted(tokens: Tokens) -> Coroutine[Any, Any, None]:
        begun.append(tokens)
        return watch(tokens)

    (tmp_path / "tokens").write_text(pair("alice")[1])
    monkeypatch.setattr(Tokens, "watch", counted)
    async with TestServer(create_app(Settings(tokens_file=str(tmp_path / "tokens")), answerer=Upper())):
        assert len(begun) == 1
