"""The `auth` of a `langgraph.json`: its handlers decide who may ask."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from multidict import CIMultiDict

from askd.answerers.registry import create_answerer
from askd.config import Settings
from askd.errors import AnswererFailed, LoadError, Problem, Refused, Unauthorized
from askd.models import Answerer, Question
from tests.support.langgraph_graphs import collect_stream

AGENT = """
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

def say(state: MessagesState, config: RunnableConfig):
    configurable = config["configurable"]
    user = configurable["langgraph_auth_user"]
    text = f"{user.identity} {user['identity']} {user.display_name} {configurable['langgraph_auth_permissions']}"
    return {"messages": [AIMessage(f"{text} {configurable['thread_id']} {len(state['messages'])}")]}

graph = StateGraph(MessagesState).add_sequence([say]).add_edge(START, "say").compile(checkpointer=InMemorySaver())
"""
AUTH = """
from langgraph_sdk import Auth

auth = Auth()

@auth.authenticate
{handler}
"""
TOKEN_HANDLER = """
async def authenticate(authorization: str | None, headers, method, path):
    if authorization != "Bearer good":
        raise Auth.exceptions.HTTPException(401, "unknown token", headers={"WWW-Authenticate": "Bearer realm=x"})
    return headers[b"x-user"].decode()
"""
HEADERS: CIMultiDict[str] = CIMultiDict({"Authorization": "Bearer good", "X-User": "ada"})

LoadProject = Callable[..., Awaitable[Answerer]]


@pytest.fixture
async def load_project(tmp_path: Path) -> AsyncIterator[LoadProject]:
    """Load a project with an authenticate handler, and close it after the test."""
    loaded: list[Answerer] = []

    async def load(handler: str, **settings: Any) -> Answerer:
        (tmp_path / "agent.py").write_text(AGENT)
        (tmp_path / "gatekeeper.py").write_text(AUTH.replace("{handler}", handler))
        config = {"graphs": {"agent": "./agent.py:graph"}, "auth": {"path": "./gatekeeper.py:auth"}}
        (tmp_path / "langgraph.json").write_text(json.dumps(config))
        loaded.append(create_answerer(Settings(answerer="langgraph.json", **settings)))
        await loaded[-1].load(lambda line: None)
        return loaded[-1]

    yield load
    for answerer in loaded:
        await answerer.close()


async def test_user_of_the_handler(load_project: LoadProject) -> None:
    """The user whom the handler returns reaches the nodes, and owns the thread."""
    graph = await load_project(TOKEN_HANDLER)
    answer = await graph.answer(Question(text="hi", headers=HEADERS, thread_id="a"))
    assert answer.text.startswith("ada ada ada [] ")


@pytest.mark.parametrize("method", ["answer", "stream"])
async def test_rejected_request(load_project: LoadProject, method: str) -> None:
    """A 401 of the handler is a 401 with its detail and its challenge, and the graph does not run."""
    graph = await load_project(TOKEN_HANDLER)
    with pytest.raises(Unauthorized) as caught:
        await (graph.answer(Question(text="hi")) if method == "answer" else collect_stream(graph, "hi"))  # type: ignore[arg-type] # any answerer streams
    assert (caught.value.detail, caught.value.headers) == ("unknown token", {"WWW-Authenticate": "Bearer realm=x"})


async def test_users_have_their_own_threads(load_project: LoadProject) -> None:
    """Users with the same thread name do not share a conversation; their threads have UUIDs."""
    graph = await load_project(TOKEN_HANDLER)
    texts = []
    for user, thread in (("ada", "a"), ("ada", "a"), ("bob", "a"), ("ada/a", "b"), ("ada", "a/b")):
        headers = CIMultiDict(HEADERS, **{"X-User": user})
        headers["X-User"] = user
        texts.append((await graph.answer(Question(text="hi", headers=headers, thread_id=thread))).text)
    ids, counts = zip(*(text.rpartition("] ")[2].split() for text in texts), strict=True)
    assert counts == ("1", "3", "1", "1", "1")
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert all(str(UUID(thread_id)) == thread_id for thread_id in ids)


USERS = [
    ('return {"identity": "ada", "permissions": ["read"], "display_name": "Ada"}', "ada ada Ada ['read']"),
    ('return ["read"], {"identity": "ada"}', "ada ada ada ['read']"),
    ('import types; return types.SimpleNamespace(identity="ada", display_name="Ada")', "ada ada Ada []"),
]


@pytest.mark.parametrize(("statement", "shown"), USERS)
async def test_forms_of_users(load_project: LoadProject, statement: str, shown: str) -> None:
    """A handler returns a name, a mapping, an object, or permissions and one of these; it may be synchronous."""
    graph = await load_project(f"def authenticate():\n    {statement}\n")
    assert (await graph.answer(Question(text="hi"))).text.startswith(shown)


FAILURES = [
    ("raise Auth.exceptions.HTTPException(403, 'not you')", Refused, 403, "not you"),
    ("assert False, 'no token'", Unauthorized, 401, "no token"),
    ("assert False", Unauthorized, 401, "not authenticated"),
    ("raise Auth.exceptions.HTTPException(503, 'secret host is down')", AnswererFailed, 500, "failed"),
    ("raise OSError('secret host is down')", AnswererFailed, 500, "failed"),
    ("return None", AnswererFailed, 500, "failed"),
    ("return {}", AnswererFailed, 500, "failed"),
]


@pytest.mark.parametrize(("statement", "problem", "status", "detail"), FAILURES)
async def test_failing_handler(
    load_project: LoadProject, statement: str, problem: type[Problem], status: int, detail: str
) -> None:
    """A handler's 4xx is the client's; every other failure is a 500 without details. The graph never runs."""
    graph = await load_project(f"async def authenticate():\n    {statement}\n")
    with pytest.raises(problem) as caught:
        await graph.answer(Question(text="hi"))
    assert caught.value.status == status
    assert detail in caught.value.detail
    assert "secret" not in caught.value.detail


async def test_request_of_a_handler(load_project: LoadProject) -> None:
    """A handler that takes `request` finds headers and cookies there, and the method of a run's creation."""
    graph = await load_project(
        "async def authenticate(request):\n"
        "    return f\"{request.method} {request.headers['x-user']} {request.cookies['session']} {request.url.path}\"\n"
    )
    headers = CIMultiDict(HEADERS, Cookie="session=s1; other=2")
    answer = await graph.answer(Question(text="hi", headers=headers))
    assert answer.text.startswith("POST ada s1 /runs/wait")


AUTHORIZATIONS = [
    ("@auth.on\nasync def allow(ctx, value):\n    return ctx.user.identity == 'ada'", None),
    ("@auth.on\nasync def filter(ctx, value):\n    return {'owner': ctx.user.identity}", None),
    ("@auth.on\nasync def deny(ctx, value):\n    return False", 403),
    ("@auth.on\nasync def deny(ctx, value):\n    assert ctx.permissions, 'no permissions'", 403),
    (
        "@auth.on.threads.create_run\nasync def deny(ctx, value):\n    raise Auth.exceptions.HTTPException(404, 'x')",
        404,
    ),
    (
        """
@auth.on
async def deny(ctx, value):
    return False

@auth.on.threads.create_run
async def allow(ctx, value):
    return value["thread_id"] is None
""",
        None,
    ),
]


@pytest.mark.parametrize(("handlers", "status"), AUTHORIZATIONS)
async def test_authorization(load_project: LoadProject, handlers: str, status: int | None) -> None:
    """The most specific `auth.on` handler for the creation of a run decides; a filter does not reject."""
    graph = await load_project(f"{TOKEN_HANDLER}\n{handlers}\n")
    question = Question(text="hi", headers=HEADERS)
    if status is None:
        assert (await graph.answer(question)).text.startswith("ada")
    else:
        with pytest.raises(Refused) as caught:
            await graph.answer(question)
        assert caught.value.status == status


CREATE_HANDLERS = """
@auth.on.threads.create
async def paying_users_only(ctx, value):
    assert ctx.user.identity == "ada", f"no plan for {value['thread_id']}"

@auth.on.threads.create_run
async def own_threads(ctx, value):
    return {"owner": ctx.user.identity, "team": TEAM}
"""


async def test_creation_of_a_thread_is_authorized(load_project: LoadProject) -> None:
    """A question that names a thread also asks the handler for the creation of threads."""
    graph = await load_project(f"{TOKEN_HANDLER}\nTEAM = 'a'\n{CREATE_HANDLERS}")
    bob = CIMultiDict({"Authorization": "Bearer good", "X-User": "bob"})
    assert (await graph.answer(Question(text="hi", headers=bob))).text.startswith("bob")
    with pytest.raises(Refused, match="no plan for a") as caught:
        await graph.answer(Question(text="hi", headers=bob, thread_id="a"))
    assert caught.value.status == 403
    assert (await graph.answer(Question(text="hi", headers=HEADERS, thread_id="a"))).text.startswith("ada")


async def test_filter_selects_threads(load_project: LoadProject) -> None:
    """A user whose filter has changed does not find the threads of before."""
    graph = await load_project(f"{TOKEN_HANDLER}\nTEAM = 'a'\n{CREATE_HANDLERS}")
    counts = []
    for team in ("a", "a", "b", "a"):
        sys.modules["gatekeeper"].TEAM = team  # type: ignore[attr-defined] # of the handlers
        counts.append((await graph.answer(Question(text="hi", headers=HEADERS, thread_id="x"))).text.split()[-1])
    assert counts == ["1", "3", "1", "5"]


async def test_result_that_is_no_filter(load_project: LoadProject) -> None:
    """A handler that returns neither a filter nor a bool fails, as on LangGraph's server."""
    graph = await load_project(f"{TOKEN_HANDLER}\n@auth.on\nasync def wrong(ctx, value):\n    return 'ada'\n")
    with pytest.raises(AnswererFailed) as caught:
        await graph.answer(Question(text="hi", headers=HEADERS))
    assert "returned str, not a filter or bool" in str(caught.value.__cause__)


UNUSABLE = [
    ("async def authenticate(user):\n    return 'x'", {}, "requires user, which askd does not have: use request, body"),
    (TOKEN_HANDLER, {"deterministic": True}, "cannot be deterministic: its `auth` decides about each request"),
]


@pytest.mark.parametrize(("handler", "settings", "message"), UNUSABLE)
async def test_auth_that_cannot_be_used(
    load_project: LoadProject, handler: str, settings: dict[str, Any], message: str
) -> None:
    """Without a usable handler, or with a cache that would bypass it, the server does not start."""
    with pytest.raises(LoadError, match=message):
        await load_project(handler, **settings)


async def test_object_without_handlers(tmp_path: Path) -> None:
    """If `auth` names another object, the server does not start, so that it is never open by mistake."""
    (tmp_path / "agent.py").write_text(AGENT)
    config = {"graphs": {"agent": "./agent.py:graph"}, "auth": {"path": "./agent.py:graph"}}
    (tmp_path / "langgraph.json").write_text(json.dumps(config))
    answerer = create_answerer(Settings(answerer="langgraph.json"))
    with pytest.raises(LoadError, match=r"agent\.py:graph has no handler for authentication"):
        await answerer.load(lambda line: None)
    await answerer.close()
