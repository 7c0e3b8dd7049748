"""Named fakes: a LangGraph server that does what a test says, over a real socket, and an answerer that asks it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from service.answerers.remote import Address, Askd, Key, LangGraph, Upstream
from service.models import Question

AGENT: Mapping[str, Any] = {
    "assistant_id": "fe096781-5601-53d2-b2f6-0d3403f7e9ca",
    "graph_id": "agent",
    "name": "agent",
    "metadata": {"created_by": "system"},
    "description": "Says hello.",
}
SSE = {"Content-Type": "text/event-stream; charset=utf-8"}


def ai(content: Any, **more: Any) -> dict[str, Any]:
    """A message as a model says it."""
    return {"type": "ai", "content": content, **more}


def human(content: str) -> dict[str, Any]:
    """A message as a user says it."""
    return {"type": "human", "content": content}


def state(*messages: Any, **more: Any) -> bytes:
    """A final state as JSON."""
    return json.dumps({"messages": list(messages), **more}).encode()


def event(name: str, data: Any) -> bytes:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class FakeLangGraph:
    """Answers each route with `status`, `headers` and `parts`, and remembers what it was sent."""

    def __init__(self) -> None:
        self.assistants: Any = [AGENT]
        self.search_status = 200
        self.search_headers: dict[str, str] = {}
        self.thread: Any = None
        """What `GET /threads/…` says; None: there is no such thread."""
        self.status = 200
        self.headers: dict[str, str] = {"Content-Type": "application/json"}
        self.parts: list[bytes] = [state(human("hi"), ai("Hi"))]
        self.abort = False
        """Whether the connection is cut after the parts."""
        self.hold = asyncio.Event()
        self.hold.set()
        """Until it is set, the body does not end."""
        self.paths: list[str] = []
        self.bodies: list[Any] = []
        self.requests: list[Mapping[str, str]] = []
        self.searched = 0
        self.left = asyncio.Event()
        self.begun = asyncio.Event()

    def app(self) -> web.Application:
        """The routes of the real one that askd uses."""
        app = web.Application()
        app.router.add_post("/assistants/search", self._search)
        app.router.add_get("/threads/{id}", self._thread)
        for path in ("/runs/{way}", "/threads/{id}/runs/{way}"):
            app.router.add_post(path, self._run)
        return app

    def stream(self, *events: bytes) -> None:
        """Answer with these events."""
        self.headers, self.parts = SSE, list(events)

    async def _search(self, _request: web.Request) -> web.Response:
        self.searched += 1
        return web.json_response(self.assistants, status=self.search_status, headers=self.search_headers)

    async def _thread(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        found = self.thread is not None
        return web.json_response(self.thread if found else {"detail": "no"}, status=200 if found else 404)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.requests.append(request.headers)
        self.bodies.append(await request.json())
        response = web.StreamResponse(status=self.status, headers=self.headers)
        await response.prepare(request)
        try:
            for part in self.parts:
                await response.write(part)
            self.begun.set()
            await self.hold.wait()
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        if self.abort and request.transport is not None:
            request.transport.abort()
        return response


def langgraph(
    base: str, *, assistant: str = "", key: Path | None = None, deadline: float = 30.0, **more: Any
) -> LangGraph:
    """An answerer for a LangGraph server, not loaded."""
    upstream = Upstream(base, Key(str(key) if key else None), deadline=deadline)
    return LangGraph(Address(askd=False, base=base, assistant=assistant), upstream, **more)


def askd(base: str) -> Askd:
    """An answerer for another askd, not loaded."""
    return Askd(Address(askd=True, base=base, assistant=""), Upstream(base, Key(None), deadline=30.0))


def asked(text: str = "hi", **more: Any) -> Question:
    """A question."""
    return Question(text=text, **more)


def quiet(_line: str) -> None:
    """A progress that nobody reads."""


Made = Callable[..., LangGraph]
