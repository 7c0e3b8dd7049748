"""Code that other frameworks would call is recognized and served; fakes of the frameworks stand for the real ones."""

import sys
import types
from typing import Any

import pytest

from askd.answerers.function import FunctionAnswerer
from askd.errors import BadQuestion, LoadError, Refused
from askd.models import Answer, Question
from tests.support.user_function_fixtures import LoadFunction


async def ask(function: FunctionAnswerer, text: str = "hi", **values: Any) -> Answer:
    """Return the answer to a question with JSON parameters."""
    form = function.contract.question
    question = {} if form.schema is None else {form.name: text}
    parameters = function.parse_parameters({**question, **values}, from_strings=False)
    return await function.answer(Question(text=text, parameters=parameters, id="7", headers={"X-A": "b"}))


async def stream(function: FunctionAnswerer, text: str = "hi", **values: Any) -> list[Any]:
    """Return the deltas and the answer."""
    parameters = function.parse_parameters(values, from_strings=False)
    return [event async for event in function.stream(Question(text=text, parameters=parameters))]


CHAT = {
    "returned text": ("def answer(message, history): return f'{message} {history}'", "hi []"),
    "async": ("async def answer(message, history): return f'{message} {history}'", "hi []"),
    "message of a role": (
        "def answer(message, history): return {'role': 'assistant', 'content': message + str(history)}",
        "hi[]",
    ),
    "text box and history of pairs": (
        "def answer(message, chat_history):\n    chat_history.append((message, 'right'))\n    return '', chat_history",
        "right",
    ),
    "history of messages": (
        "def answer(message, history): return history + [{'role': 'assistant', 'content': 'right'}]",
        "right",
    ),
    "text so far": ("def answer(message, history):\n    yield 'a'\n    yield 'ab'\n    yield 'abc'", "abc"),
    "text so far, async": ("async def answer(message, history):\n    yield 'a'\n    yield 'ab'", "ab"),
    "replaced text": ("def answer(message, history):\n    yield 'thinking'\n    yield 'right'", "right"),
    "messages so far": (
        "def answer(message, history):\n    yield {'content': 'a'}\n    yield {'content': 'ab'}",
        "ab",
    ),
}


@pytest.mark.parametrize(("code", "text"), CHAT.values(), ids=CHAT.keys())
async def test_chat_function(load: LoadFunction, code: str, text: str) -> None:
    """A function `(message, history)` gets an empty history, and yields the text so far."""
    function = await load(code)
    assert (await ask(function)).text == text
    assert function.notes()[0].startswith("a chat function")


async def test_chat_history_and_options(load: LoadFunction) -> None:
    """The history and further inputs are parameters of the request."""
    function = await load("def answer(message, history, tone='dry'): return {'all': [message, history, tone]}")
    assert [entry.name for entry in function.contract.parameters] == ["history", "tone"]
    assert (await ask(function, history=[1], tone="warm")).value == {"all": ["hi", [1], "warm"]}


async def test_stream_of_a_chat_function(load: LoadFunction) -> None:
    """The deltas are what each item adds."""
    function = await load("def answer(message, history):\n    yield 'a'\n    yield 'ab'")
    assert function.supports_streaming
    assert await stream(function) == ["a", "b", Answer("ab")]


async def test_stream_that_replaces_text(load: LoadFunction) -> None:
    """A text that replaces the text before it is only in the complete answer."""
    function = await load("def answer(message, history):\n    yield 'no'\n    yield 'yes'")
    assert await stream(function) == ["no", Answer("yes")]


EVENTS = {
    "keys": "def answer(event, context): return {'statusCode': 200, 'body': event['name']}",
    "query": "def answer(event, context): return {'statusCode': 200, 'body': event['queryStringParameters']['name']}",
    "body": (
        "import json\n"
        "def answer(event, _context): return {'statusCode': 200, 'body': json.dumps(json.loads(event['body'])['name'])}"
    ),
    "event alone": "def answer(event: dict): return event['name']",
    "async": "async def answer(event, context): return event.get('name')",
    "Kubeless": "def answer(event, context): return event['data']['name']",
    "OpenWhisk": "def answer(params): return {'body': params.get('name', 'x')}",
    "OpenFaaS": "def answer(event, context): return {'statusCode': 200, 'body': event.query['name'].encode()}",
    "headers": "def answer(event, context): return 'Ada' if event['headers']['x-a'] == 'b' else ''",
    "context": "def answer(event, context): return 'Ada' if context.aws_request_id == '7' else ''",
    "base64": (
        "def answer(event, context): return {'statusCode': 200, 'body': 'QWRh', 'isBase64Encoded': True, 'headers': {}}"
    ),
}


@pytest.mark.parametrize("code", EVENTS.values(), ids=EVENTS.keys())
async def test_event_handler(load: LoadFunction, code: str) -> None:
    """An event handler finds the parameters as keys, query and body; its response's body is the answer."""
    assert await ask(await load(code), name="Ada") == Answer("Ada")


async def test_response_with_json(load: LoadFunction) -> None:
    """A body that is JSON is a structured answer."""
    function = await load(
        "def answer(event, context): return {'statusCode': 200, 'body': '{\"message\": \"x\", \"n\": 1}'}"
    )
    assert (await ask(function)).value == {"message": "x", "n": 1}


async def test_error_status(load: LoadFunction) -> None:
    """A 4xx of the function reaches the client; any other error status is a failure."""
    function = await load("def answer(event, context): return {'statusCode': event['status'], 'body': 'no'}")
    with pytest.raises(Refused, match="no") as caught:
        await ask(function, status=409)
    assert caught.value.status == 409
    with pytest.raises(RuntimeError, match="the function returned the status 500: no"):
        await ask(function, status=500)


REQUESTS = {
    "query": "def answer(request): return request.args.get('name')",
    "JSON": "def answer(request): return request.get_json(silent=True)['name']",
    "body": "import json\ndef answer(request): return json.loads(request.get_data(as_text=True))['name'], 200",
    "annotated": "class HttpRequest: ...\ndef answer(req: HttpRequest): return req.params.get('name')",
    "response": (
        "class Response:\n    status_code = 200\n    def get_body(self): return b'Ada'\n"
        "def answer(request): return request.method and Response()"
    ),
    "Knative": "def answer(context): return context.request.args['name'], 200",
}


@pytest.mark.parametrize("code", REQUESTS.values(), ids=REQUESTS.keys())
async def test_function_of_a_request(load: LoadFunction, code: str) -> None:
    """A function of an HTTP request finds the parameters where Flask and others have them."""
    function = await load(code)
    assert await ask(function, name="Ada") == Answer("Ada")
    assert function.contract.allows_unknown_parameters


async def test_model_named_like_a_request(load: LoadFunction) -> None:
    """A model whose name ends with Request is a model."""
    code = """
        import dataclasses
        @dataclasses.dataclass
        class Request:
            name: str
        def answer(req: Request): return req.name
    """
    assert (await ask(await load(code), "Ada")).text == "Ada"


async def test_request_that_is_text(load: LoadFunction) -> None:
    """A parameter named `request` that is used as text gets the text."""
    assert (await ask(await load("def answer(request): return request.upper()"))).text == "HI"


@pytest.fixture
def frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install small fakes of DSPy and LlamaIndex."""
    sources = {
        "dspy": """
class Signature: input_fields = {"question": None, "style": None}
class Module:
    def __call__(self, **inputs): return self.forward(**inputs)
class Predict(Module):
    signature = Signature
    def forward(self, **inputs): return Prediction(answer=inputs["question"].upper(), reasoning="r")
class Prediction:
    def __init__(self, **fields): self.fields = fields
    def toDict(self): return self.fields
""",
        "llama_index": """
class Response:
    def __init__(self, text): self.response = text
class QueryEngine:
    async def aquery(self, text): return Response(text.upper())
class Index:
    def as_query_engine(self): return QueryEngine()
""",
    }
    for name, source in sources.items():
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(source, vars(module))


@pytest.mark.usefixtures("frameworks")
async def test_dspy_module(load: LoadFunction) -> None:
    """A DSPy module with a signature gets its inputs by name."""
    function = await load("import dspy\nanswer = dspy.Predict()")
    assert await ask(function, style="dry") == Answer("HI", {"reasoning": "r"})


@pytest.mark.usefixtures("frameworks")
async def test_dspy_module_with_forward(load: LoadFunction) -> None:
    """The inputs of a DSPy module without a signature are the parameters of `forward`."""
    code = "import dspy\nclass answer(dspy.Module):\n    def forward(self, text): return dspy.Prediction(answer=text)"
    assert await ask(await load(code)) == Answer("hi")


@pytest.mark.usefixtures("frameworks")
@pytest.mark.parametrize("expression", ["QueryEngine()", "Index()"])
async def test_llama_index(load: LoadFunction, expression: str) -> None:
    """An engine or an index of LlamaIndex is asked asynchronously."""
    function = await load(f"import llama_index\nanswer = llama_index.{expression}")
    assert (await ask(function)).text == "HI"
    assert "called with `aquery`" in function.notes()[0]


CHAINS = {
    "one variable": (
        "PromptTemplate.from_template('{topic}?') | RunnableLambda(lambda prompt: prompt.to_string())",
        "topic",
        "hi?",
    ),
    "text": ("RunnableLambda(lambda text: text.upper())", "q", "HI"),
    "messages": (
        "ChatPromptTemplate([MessagesPlaceholder('messages')]) | RunnableLambda(lambda p: p.to_messages()[-1].content)",
        "messages",
        "hi",
    ),
    "message": ("RunnableLambda(lambda text: AIMessage(text.upper()))", "q", "HI"),
}
LANGCHAIN = """
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import RunnableLambda
answer = """


@pytest.mark.parametrize(("expression", "name", "text"), CHAINS.values(), ids=CHAINS.keys())
async def test_runnable(load: LoadFunction, expression: str, name: str, text: str) -> None:
    """A LangChain runnable gets the question as its only variable, as text, or as a message."""
    function = await load(LANGCHAIN + expression)
    assert (await ask(function)).text == text
    assert function.contract.question.name in {name, "question"}


async def test_runnable_with_several_variables(load: LoadFunction) -> None:
    """Other variables are parameters if it is clear which one gets the question."""
    function = await load(LANGCHAIN + "PromptTemplate.from_template('{question} in {lang}')")
    assert [entry.name for entry in function.contract.parameters] == ["lang"]


async def test_configurable_fields_of_a_runnable(load: LoadFunction) -> None:
    """Fields that a runnable declares as configurable are validated parameters."""
    function = await load(
        """
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda
prompt = PromptTemplate.from_template("{topic}").configurable_alternatives(
    ConfigurableField(id="style"), default_key="plain", joke=PromptTemplate.from_template("a joke about {topic}"))
answer = prompt | RunnableLambda(lambda value: value.text)
"""
    )
    assert [entry.name for entry in function.contract.parameters] == ["style"]
    assert [(await ask(function, **style)).text for style in ({}, {"style": "joke"})] == ["hi", "a joke about hi"]
    with pytest.raises(BadQuestion, match="style"):
        await ask(function, style="poem")


async def test_runnable_with_unclear_variables(load: LoadFunction) -> None:
    """If it is not clear which variable gets the question, the error lists them."""
    with pytest.raises(LoadError, match="the runnable has the input variables adjective, noun, and it is not clear"):
        await load(LANGCHAIN + "PromptTemplate.from_template('{noun} {adjective}')")


COMMAND = """
import click
@click.command()
@click.argument("name")
@click.option("--count", default=1)
@click.option("--loud/--quiet", default=False)
def answer(name, count, loud):
    "Greet somebody."
    for _ in range(count):
        click.echo(name.upper() if loud else name)
"""


async def test_command(load: LoadFunction) -> None:
    """A command of click with one argument is called with the question; its options are parameters."""
    function = await load(COMMAND)
    assert await ask(function, "hi") == Answer("hi")
    assert await ask(function, "--hi", count=2, loud=True) == Answer("--HI\n--HI")
    types = {entry.name: entry.schema["anyOf"][0]["type"] for entry in function.contract.parameters}
    assert types == {"count": "integer", "loud": "boolean"}
    assert function.contract.summary == "Greet somebody."


async def test_command_refuses(load: LoadFunction) -> None:
    """An error of click about the arguments is a 400 with its text."""
    code = COMMAND.replace("    for", "    raise click.BadParameter('too rude')\n    for")
    with pytest.raises(Refused, match="too rude"):
        await ask(await load(code))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import click\n@click.group()\ndef answer(): ...\n@answer.command()\ndef one(): ...",
            "a group of the commands one",
        ),
        (
            "import click\n@click.command()\n@click.argument('a')\n@click.argument('b')\ndef answer(a, b): ...",
            "the command has 2 required arguments",
        ),
    ],
)
async def test_unsuitable_command(load: LoadFunction, code: str, message: str) -> None:
    """A group, or a command with several arguments, is a LoadError."""
    with pytest.raises(LoadError, match=message):
        await load(code)
