"""Functions of an HTTP request get the request of Flask or Starlette; small fakes stand for the frameworks.

The fake of Flask has the requests and responses of Werkzeug, as Flask has.
"""

import sys
import types
from typing import Any

import pytest

from askd.answerers.function import FunctionAnswerer
from askd.errors import Refused
from askd.models import Answer, Question
from tests.support.user_function_fixtures import LoadFunction

FRAMEWORKS = {
    "flask": """
import contextlib
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response
app = None
class Flask:
    def __init__(self, name):
        self.app = self
    @contextlib.contextmanager
    def test_request_context(self, path, **options):
        global app
        app, self.request = self, Request(EnvironBuilder(path, **options).get_environ())
        yield self
        app = None
    def make_response(self, result):
        if isinstance(result, Response):
            return result
        body, *rest = result if isinstance(result, tuple) else (result,)
        names = ["headers"] if rest and isinstance(rest[0], dict) else ["status", "headers"]
        return Response(body, **dict(zip(names, rest)))
def make_response(result):
    return app.make_response(result)
""",
    "starlette": "",
    "starlette.requests": """
import json, urllib.parse
class Request:
    def __init__(self, scope, receive):
        self.receive, self.method = receive, scope["method"]
        self.query_params = dict(urllib.parse.parse_qsl(scope["query_string"].decode()))
        self.headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    async def json(self):
        message = await self.receive()
        return json.loads(message["body"])
""",
    "starlette.responses": """
class PlainTextResponse:
    def __init__(self, text, status_code=200):
        self.body, self.status_code = text.encode(), status_code
class StreamingResponse:
    def __init__(self, parts, status_code=200):
        self.body_iterator, self.status_code = parts, status_code
""",
    "functions_framework._function_registry": "REGISTRY_MAP, ASGI_FUNCTIONS = {}, set()",
    "functions_framework": """
import functools
from functions_framework._function_registry import REGISTRY_MAP
def http(function, kind="http"):
    REGISTRY_MAP[function.__name__] = kind
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper
def cloud_event(function):
    return http(function, "cloudevent")
""",
    "functions_framework.aio": """
import functools
from functions_framework._function_registry import ASGI_FUNCTIONS, REGISTRY_MAP
def http(function):
    REGISTRY_MAP[function.__name__] = "http"
    ASGI_FUNCTIONS.add(function.__name__)
    @functools.wraps(function)
    async def wrapper(*args):
        return await function(*args)
    return wrapper
""",
}


@pytest.fixture(autouse=True)
def frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install small fakes of Flask, Starlette and functions-framework."""
    for name in FRAMEWORKS:
        module = types.ModuleType(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            monkeypatch.setattr(sys.modules[parent], child, module, raising=False)
    for name, source in FRAMEWORKS.items():
        exec(source, vars(sys.modules[name]))


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def create_question(function: FunctionAnswerer, headers: dict[str, str] | None = None) -> Question:
    parameters = function.parse_parameters({"name": "Ada"}, from_strings=False)
    return Question(text="hi", parameters=parameters, headers=headers or {})


async def ask(function: FunctionAnswerer, headers: dict[str, str] | None = None) -> Answer:
    """Return the answer to a question with the parameter `name`."""
    return await function.answer(create_question(function, headers))


DECORATED = {
    "text": "return 'Ada'",
    "tuple": "return 'Ada', 200, {'X-A': 'b'}",
    "response": "return flask.Response('Ada')",
    "response of the app": "return flask.make_response('Ada')",
    "generator": "return (part for part in 'Ada')",
    "generator and headers": "return (part for part in 'Ada'), {'X-A': 'b'}",
    "request": "return message.args['name']",
}


@pytest.mark.parametrize("code", DECORATED.values(), ids=DECORATED.keys())
@pytest.mark.parametrize(
    "start",
    ["@functions_framework.http\ndef answer(message)", "def answer(message: flask.Request)"],
    ids=["decorator", "annotation"],
)
async def test_function_of_flask(load: LoadFunction, start: str, code: str) -> None:
    """A decorated or annotated function is called in a request context, whatever its body uses."""
    function = await load(f"import flask, functions_framework\n{start}: {code}")
    assert await ask(function) == Answer("Ada")


async def test_undecorated_function_with_a_registered_name(load: LoadFunction) -> None:
    """A function gets text although another module has registered a function of that name."""
    registry: Any = sys.modules["functions_framework._function_registry"]
    registry.REGISTRY_MAP["answer"] = "http"
    function = await load("def answer(text): return text.upper()")
    assert await function.answer(Question(text="hi")) == Answer("HI")


async def test_function_of_a_cloud_event(load: LoadFunction) -> None:
    """A function of a CloudEvent is not a function of a request."""
    function = await load("import functions_framework\n@functions_framework.cloud_event\ndef answer(text): return text")
    assert function.notes() == []


@pytest.mark.parametrize(
    ("headers", "content_type", "is_json"),
    [
        ({}, "application/json", True),
        (JSON, "application/json", True),
        ({"Content-Type": "Application/x-www-form-urlencoded; charset=utf-8"}, FORM["Content-Type"], False),
    ],
    ids=["GET", "JSON", "form"],
)
@pytest.mark.parametrize("with_flask", [True, False], ids=["Flask", "no Flask"])
async def test_form(
    load: LoadFunction,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    content_type: str,
    *,
    is_json: bool,
    with_flask: bool,
) -> None:
    """The parameters are a form and JSON in every request; a form keeps its content type."""
    if not with_flask:
        monkeypatch.delitem(sys.modules, "flask")
    function = await load(
        """
        import json
        def answer(request):
            return json.dumps({
                "places": [request.form.get("name"), request.args["name"], request.values["name"]],
                "json": [request.get_json(silent=True), request.json],
                "data": [request.get_data(as_text=True), request.data.decode()],
                "type": [request.mimetype, request.is_json],
            })
        """
    )
    values = {"name": "Ada"}
    assert (await ask(function, headers)).value == {
        "places": ["Ada"] * 3,
        "json": [values] * 2,
        "data": ['{"name": "Ada"}'] * 2,
        "type": [content_type, is_json],
    }


@pytest.mark.parametrize("with_flask", [True, False], ids=["Flask", "no Flask"])
async def test_knative_context(load: LoadFunction, monkeypatch: pytest.MonkeyPatch, *, with_flask: bool) -> None:
    """The context of a Knative function is a mapping whose items are attributes; it has the request of Flask."""
    if not with_flask:
        monkeypatch.delitem(sys.modules, "flask")
    function = await load(
        """
        def answer(context):
            assert list(context.keys()) == ["request"] and context["request"] is context.request
            assert context.cloud_event is None
            return f"{context.request.form['name']} {type(context.request).__module__}", 200
        """
    )
    name, module = (await ask(function)).text.split()
    assert (name, module.partition(".")[0]) == ("Ada", "werkzeug" if with_flask else "askd")


@pytest.mark.parametrize("parameter", ["request", "context"])
async def test_async_function_beside_flask(load: LoadFunction, parameter: str) -> None:
    """An async function without the decorator of `aio` gets a plain request, because Flask does not await it."""
    request = "context.request" if parameter == "context" else parameter
    assert await ask(await load(f"async def answer({parameter}): return {request}.args['name']")) == Answer("Ada")


ASYNC = {
    "query": "return request.query_params['name']",
    "JSON": "return (await request.json())['name'], 200",
    "headers": "return 'Ada' if request.headers == {'content-type': 'application/json', 'x-a': '\\xff'} else ''",
    "response": "return PlainTextResponse('Ada')",
    "streaming response": "return StreamingResponse(parts(b'Ada'))",
}
ASYNC_START = """
import functions_framework.aio
from starlette.responses import PlainTextResponse, StreamingResponse
async def parts(data):
    for byte in data:
        yield bytes([byte])
@functions_framework.aio.http
async def answer(request): """


@pytest.mark.parametrize("code", ASYNC.values(), ids=ASYNC.keys())
async def test_function_of_starlette(load: LoadFunction, code: str) -> None:
    """A function decorated with `aio.http` gets a request of Starlette, although Flask is loaded too."""
    assert await ask(await load(ASYNC_START + code), {**FORM, "X-A": "\udcff"}) == Answer("Ada")


async def test_stream_of_starlette(load: LoadFunction) -> None:
    """The parts of a StreamingResponse are deltas; a part may end within a character."""
    function = await load(ASYNC_START + "return StreamingResponse(parts('aé'.encode()))")
    assert [delta async for delta in function.stream(create_question(function))] == ["a", "é", Answer("aé")]


@pytest.mark.parametrize("response", ["PlainTextResponse('no', 409)", "StreamingResponse(parts(b'no'), 409)"])
async def test_error_status_of_starlette(load: LoadFunction, response: str) -> None:
    """A 4xx of a response reaches the client."""
    with pytest.raises(Refused) as caught:
        await ask(await load(f"{ASYNC_START}return {response}"))
    assert caught.value.status == 409
