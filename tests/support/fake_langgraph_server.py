"""Fake LangGraph server that runs on a real socket, and answerers for it."""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from askd.answerers.remote import (
    ApiKeyFile,
    AskdAnswerer,
    LangGraphAnswerer,
    RemoteAddress,
    UpstreamAuthorization,
    UpstreamClient,
)
from askd.models import Question
from tests.support.killable_server import KillableServer

ASSISTANT: Mapping[str, Any] = {
    "assistant_id": "fe096781-5601-53d2-b2f6-0d3403f7e9ca",
    "graph_id": "agent",
    "name": "agent",
    "metadata": {"created_by": "system"},
    "description": "Says hello.",
}
SSE_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8"}


def ai_message(content: Any, **fields: Any) -> dict[str, Any]:
    """Return a message of a model."""
    return {"type": "ai", "content": content, **fields}


def human_message(content: str) -> dict[str, Any]:
    """Return a message of a user."""
    return {"type": "human", "content": content}


def final_state(*messages: Any, **values: Any) -> bytes:
    """Return a final state as JSON."""
    return json.dumps({"messages": list(messages), **values}).encode()


def sse_event(name: str, data: Any) -> bytes:
    """Return one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class FakeLangGraph:
    """Responds to runs with `status`, `headers` and `body_parts`, and records the requests."""

    def __init__(self) -> None:
        self.assistants: Any = [ASSISTANT]
        self.search_status = 200
        self.search_headers: dict[str, str] = {}
        self.thread: Any = None
        """Response body of `GET /threads/…`; None responds with 404."""
        self.status = 200
        self.headers: dict[str, str] = {"Content-Type": "application/json"}
        self.body_parts: list[bytes] = [final_state(human_message("hi"), ai_message("Hi"))]
        self.abort_connection = False
        """Whether to abort the connection after the body parts."""
        self.finish_body = asyncio.Event()
        self.finish_body.set()
        """The body does not end until this is set."""
        self.paths: list[str] = []
        self.bodies: list[Any] = []
        self.request_headers: list[Mapping[str, str]] = []
        self.search_count = 0
        self.client_disconnected = asyncio.Event()
        self.body_started = asyncio.Event()

    def app(self) -> web.Application:
        """Return an app with the routes that askd uses."""
        app = web.Application()
        app.router.add_post("/assistants/search", self._search)
        app.router.add_get("/threads/{id}", self._thread)
        for path in ("/runs/{mode}", "/threads/{id}/runs/{mode}"):
            app.router.add_post(path, self._run)
        return app

    def respond_with_events(self, *events: bytes) -> None:
        """Respond with these events."""
        self.headers, self.body_parts = SSE_HEADERS, list(events)

    async def _search(self, _request: web.Request) -> web.Response:
        self.search_count += 1
        return web.json_response(self.assistants, status=self.search_status, headers=self.search_headers)

    async def _thread(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        if self.thread is None:
            return web.json_response({"detail": "not found"}, status=404)
        return web.json_response(self.thread)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.request_headers.append(request.headers)
        self.bodies.append(await request.json())
        response = web.StreamResponse(status=self.status, headers=self.headers)
        await response.prepare(request)
        try:
            for part in self.body_parts:
                await response.write(part)
            self.body_started.set()
            await self.finish_body.wait()
        except (asyncio.CancelledError, ConnectionError):
            self.client_disconnected.set()
            raise
        if self.abort_connection and request.transport is not None:
            request.transport.abort()
        return response


def langgraph_answerer(
    base: str,
    *,
    assistant: str = "",
    key: Path | None = None,
    authorization: str | None = None,
    deadline: float = 30.0,
    **options: Any,
) -> LangGraphAnswerer:
    """Return an answerer for a LangGraph server. It is not loaded."""
    upstream = UpstreamClient(
        base,
        ApiKeyFile(str(key) if key else None),
        authorization=UpstreamAuthorization(authorization),
        deadline=deadline,
    )
    return LangGraphAnswerer(RemoteAddress(is_askd=False, base_url=base, assistant=assistant), upstream, **options)


def askd_answerer(base: str) -> AskdAnswerer:
    """Return an answerer for another askd. It is not loaded."""
    return AskdAnswerer(
        RemoteAddress(is_askd=True, base_url=base, assistant=""), UpstreamClient(base, ApiKeyFile(None), deadline=30.0)
    )


def make_question(text: str = "hi", **fields: Any) -> Question:
    """Return a question with a default text."""
    return Question(text=text, **fields)


def ignore_progress(_line: str) -> None:
    """Progress callback that does nothing."""


MakeLangGraph = Callable[..., LangGraphAnswerer]


FAKE_LANGGRAPH_CODE: Final = """
import asyncio, json, sys
from aiohttp import web

async def search(request):
    return web.json_response([{"assistant_id": "agent", "graph_id": "agent", "metadata": {"created_by": "system"}}])

async def run(request):
    messages = (await request.json())["input"]["messages"]
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b"\\n")
    await asyncio.sleep(0.02)
    await response.write(json.dumps({"messages": [*messages, {"type": "ai", "content": "Hi"}]}).encode())
    return response

app = web.Application()
app.add_routes([web.post("/assistants/search", search), web.post("/runs/wait", run)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=lambda _: print("Application started up", flush=True))
"""
"""A minimal LangGraph server. Like the real one, it sends the status 200 first, and the answer 20 ms later."""


def fake_langgraph_server(folder: Path, port: int) -> KillableServer:
    """Return a minimal LangGraph server that replaces the real one."""
    (folder / "fake.py").write_text(FAKE_LANGGRAPH_CODE)
    return KillableServer((sys.executable, "fake.py", str(port)), folder, {})
