"""Several answerers in one server: paths, contracts, guards, metrics and readiness of each."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from askd.answerers.registry import create_answerer
from askd.app import ANSWERERS, LOAD_TASK, METRICS, create_app
from askd.config import Settings
from askd.errors import SpecError
from askd.models import Question
from tests.support.app_fixtures import AskdTestServer, Client

ServeSpec = Callable[..., Awaitable[Client]]

MODULE = """
calls = []
hooks = []

def startup():
    hooks.append("startup")

def ready():
    return hooks == ["startup"], f"hooks are {hooks}"

def shout(text: str, times: int = 1) -> str:
    "Shouts."
    calls.append(text)
    return text.upper() * times

shout.deterministic = True

def whisper(text: str) -> str:
    "Whispers."
    calls.append(text)
    return text.lower()

whisper.deterministic = True

def _helper(text):
    return text
"""
GRAPHS = """
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

def make(name):
    def say(state: MessagesState):
        return {"messages": [AIMessage(f"{name} has {len(state['messages'])} messages")]}
    return StateGraph(MessagesState).add_sequence([say]).add_edge(START, "say")

first, second = make("first"), make("second")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start in a folder with a module of two functions, and a project of two graphs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "voices.py").write_text(MODULE)
    (tmp_path / "two_graphs.py").write_text(GRAPHS)
    write_project(tmp_path, first="./two_graphs.py:first", second="./two_graphs.py:second")
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write_project(folder: Path, **graphs: str) -> None:
    """Write `langgraph.json`."""
    (folder / "langgraph.json").write_text(json.dumps({"graphs": graphs}))


@pytest.fixture
def serve_spec(aiohttp_client: Callable[..., Awaitable[Client]]) -> ServeSpec:
    """Serve what a spec names, and return a client."""

    async def start(spec: str, **settings: str) -> Client:
        app = create_app(Settings.load({"answerer": spec, **settings}, {}))
        client = await aiohttp_client(AskdTestServer(app))
        await app[LOAD_TASK]
        return client

    return start


async def answer(client: Client, path: str, **parameters: str) -> Any:
    """Return the answer to the question `Hi`."""
    async with client.get(path, params={"q": "Hi", **parameters}) as response:
        body = await response.json()
        return body["answer"] if response.status == 200 else (response.status, body["detail"])


async def test_functions_have_their_own_paths(serve_spec: ServeSpec) -> None:
    """Each public function answers at /ask/NAME with its own parameters, also with POST; none of them is at /ask."""
    client = await serve_spec("voices.py:*")
    assert await answer(client, "/ask/shout", times="2") == "HIHI"
    assert await answer(client, "/ask/whisper") == "hi"
    async with client.post("/ask/shout", json={"text": "Hi", "times": 3}) as response:
        assert await response.json() == {"answer": "HIHIHI"}
    assert await answer(client, "/ask/whisper", times="2") == (
        400,
        "`times` is not a parameter: use `q`.",
    )
    status, detail = await answer(client, "/ask")
    assert (status, detail) == (
        404,
        "This server has several answerers. Send the question to /ask/NAME; the names are shout, whisper.",
    )


async def test_unknown_name(serve_spec: ServeSpec) -> None:
    """An unknown name is a 404 that suggests a similar one and lists all names."""
    client = await serve_spec("voices.py:*")
    async with client.get("/ask/shuot?q=Hi") as response:
        body = await response.json()
    assert (response.status, body["type"], body["answerers"]) == (404, "/docs#not-found", ["shout", "whisper"])
    assert body["detail"] == "There is no answerer 'shuot'. Did you mean 'shout'? The names are shout, whisper."


@pytest.mark.parametrize(
    ("function", "graph", "expected"),
    [("answer", None, "answer"), ("voices", None, "voices"), ("answer", "whisper", "whisper"), ("other", None, None)],
)
async def test_default(serve_spec: ServeSpec, folder: Path, function: str, graph: str | None, expected: str) -> None:
    """ASKD_GRAPH names the function at /ask, otherwise it is `answer` or the one that is named like the file."""
    (folder / "voices.py").write_text(f"{MODULE}\ndef {function}(text): return 'default'\n")
    client = await serve_spec("voices.py:*", **({} if graph is None else {"graph": graph}))
    default = client.app[ANSWERERS].default
    assert (default.name if default else None) == expected
    assert (await answer(client, "/ask") == (await answer(client, f"/ask/{expected}"))) is (expected is not None)


async def test_openapi_and_pages(serve_spec: ServeSpec) -> None:
    """OpenAPI has a path and schemas for each; each has a home page that links the others."""
    client = await serve_spec("voices.py:*", prefix="/v1")
    document = await (await client.get("/v1/openapi.json")).json()
    assert [path for path in document["paths"] if path.startswith("/ask")] == ["/ask/shout", "/ask/whisper"]
    operation = document["paths"]["/ask/shout"]["get"]
    assert (operation["operationId"], operation["summary"]) == ("ask.shout", "Shouts.")
    assert "times" in document["components"]["schemas"]["Question.shout"]["properties"]
    assert "times" not in document["components"]["schemas"]["Question.whisper"]["properties"]
    page = await (await client.get("/v1/answerers/whisper", headers={"Accept": "text/html"})).text()
    assert 'action="/v1/ask/whisper"' in page
    assert 'href="/v1/answerers/shout"' in page
    docs = await (await client.get("/v1/docs", headers={"Accept": "text/html"})).text()
    assert 'id="operation-ask.whisper"' in docs
    links = (await (await client.get("/v1/")).json())["links"]
    assert (links["ask/shout"], "ask" in links) == ("/v1/ask/shout", False)


async def test_caches_and_metrics_are_separate(serve_spec: ServeSpec) -> None:
    """Answers are cached for each function; requests have the route, and other metrics the label `answerer`."""
    client = await serve_spec("voices.py:*")
    for _ in range(3):
        assert [await answer(client, f"/ask/{name}") for name in ("shout", "whisper")] == ["HI", "hi"]
    assert sys.modules["voices"].calls == ["Hi", "Hi"]
    registry = client.app[METRICS].registry
    for name in ("shout", "whisper"):
        hits = {"answerer": name, "result": "hit"}
        assert registry.get_sample_value("askd_cache_lookups_total", hits) == 2
        outcome = {"answerer": name, "outcome": "answered"}
        assert registry.get_sample_value("askd_answerer_duration_seconds_count", outcome) == 1
        labels = {"http_route": f"/ask/{name}", "http_request_method": "GET", "http_response_status_code": "200"}
        assert registry.get_sample_value("http_server_request_duration_seconds_count", labels) == 3
        assert registry.get_sample_value("askd_concurrency_limit", {"answerer": name})


async def test_hooks_run_once_and_readiness_names_the_answerer(serve_spec: ServeSpec) -> None:
    """`startup` runs once for all functions of a module; the server is ready if each is, and a failure names it."""
    client = await serve_spec("voices.py:*")
    assert sys.modules["voices"].hooks == ["startup"]
    assert (await client.get("/readyz")).status == 200
    client.app[ANSWERERS][1].health.set_ready_hook_result(ok=False, detail="no voice")
    async with client.get("/readyz") as response:
        assert (response.status, (await response.json())["detail"]) == (503, "ready_hook:whisper: no voice")


async def test_graphs_of_a_project_keep_their_own_threads(serve_spec: ServeSpec, folder: Path) -> None:
    """All graphs of langgraph.json are served; the same thread of two graphs in one database is two threads."""
    client = await serve_spec("langgraph.json", graph_memory=f"sqlite:{folder / 'threads.db'}", graph="second")
    for count in (1, 3):
        assert await answer(client, "/ask/first", thread="a") == f"first has {count} messages"
        assert await answer(client, "/ask/second", thread="a") == f"second has {count} messages"
    assert await answer(client, "/ask", thread="a") == "second has 5 messages"


async def test_only_graph_has_a_name_and_no_label(serve_spec: ServeSpec, folder: Path) -> None:
    """The only Python graph of a project answers at /ask and at its name; its metrics have no label."""
    write_project(folder, first="./two_graphs.py:first", web="./web.ts:graph")
    client = await serve_spec("langgraph.json")
    assert [await answer(client, path) for path in ("/ask", "/ask/first")] == ["first has 1 messages"] * 2
    assert client.app[METRICS].registry.get_sample_value("askd_concurrency_limit")
    assert (await answer(client, "/ask/web"))[0] == 404


@pytest.mark.parametrize(
    ("spec", "graph", "message"),
    [
        ("langgraph.json", "frist", "--graph=frist is not in langgraph.json: did you mean first? It contains {both}"),
        ("voices.py:*", "x", "--graph=x is not in voices.py:*: choose one of shout, whisper"),
        ("voices.py:shout", "shout", "--graph=shout requires several answerers: use langgraph.json or main.py:*"),
    ],
)
async def test_unknown_default(spec: str, graph: str, message: str) -> None:
    """ASKD_GRAPH must name one of several answerers."""
    with pytest.raises(SpecError) as caught:
        create_app(Settings(answerer=spec, graph=graph))
    assert str(caught.value) == message.format(both="first, second")


async def test_another_askd_forwards_to_one_of_them(serve_spec: ServeSpec) -> None:
    """`ask+http://…#NAME` takes over the contract of one of several answerers, and asks it."""
    client = await serve_spec("voices.py:*")
    base_url = str(client.make_url("/")).rstrip("/")
    remote = create_answerer(Settings(answerer=f"ask+{base_url}#shout", port=1))
    await remote.load(lambda line: None)
    assert ([entry.name for entry in remote.contract.parameters], remote.name) == (["times"], "voices.py:shout")
    assert (await remote.answer(Question(text="Hi", parameters={"times": 2}))).text == "HIHI"
    await remote.close()


async def test_import_error_is_reported_by_the_load(folder: Path, aiohttp_client: Any) -> None:
    """If the module of `main.py:*` cannot be imported, the load fails as usual, and all names are unavailable."""
    (folder / "voices.py").write_text("import no_such_module\n")
    app = create_app(Settings(answerer="voices.py:*"))
    client = await aiohttp_client(AskdTestServer(app))
    with pytest.raises(Exception, match="No module named 'no_such_module'"):
        await app[LOAD_TASK]
    assert (await client.get("/ask/shout?q=Hi")).status == 503
