"""Parameters of a graph: the fields of its input schema and of its context."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import ConfigurableField, RunnableConfig, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph, add_messages
from langgraph.managed import IsLastStep
from langgraph.runtime import get_runtime
from pydantic import BaseModel, Field

from askd.answerers.graph import GraphAnswerer
from askd.api import request_values
from askd.errors import BadQuestion
from askd.models import Answer, Question
from tests.support.langgraph_graphs import LoadGraph, count_messages, sequential_graph


@dataclass(kw_only=True)
class Context:
    """A context with defaults."""

    model: str = field(default="small", metadata={"description": "Name of the model."})
    limit: int = 3
    tags: list[str] = field(default_factory=list)


class ContextModel(BaseModel):
    """A context as a pydantic model, with a constraint and a required field."""

    model: Literal["small", "large"]
    limit: int = Field(default=3, ge=1, description="Number of results.")


class ContextDict(TypedDict, total=False):
    """A context as a TypedDict."""

    model: str
    limit: int


def context_graph(schema: Any) -> Any:
    """Return a graph that answers with its context and its `configurable`."""

    def show(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        runtime = get_runtime()
        configurable = {name: value for name, value in config["configurable"].items() if name in {"model", "limit"}}
        return {"messages": [AIMessage(f"{runtime.context} {configurable}")]}

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState, context_schema=schema)
    builder.add_node("show", show)
    builder.add_edge(START, "show")
    return builder.compile()


async def ask(graph: GraphAnswerer, text: str = "hello", *, from_strings: bool = False, **values: Any) -> Answer:
    """Ask with parameters."""
    return await graph.answer(Question(text=text, parameters=graph.parse_parameters(values, from_strings=from_strings)))


async def error_message(graph: GraphAnswerer, **values: Any) -> tuple[Any, str]:
    """Return the parameter and the message of the BadQuestion for parameters."""
    with pytest.raises(BadQuestion) as caught:
        await ask(graph, **values)
    return caught.value.extensions["parameter"], caught.value.detail


async def test_context_without_parameters(serve_graph: LoadGraph) -> None:
    """Without parameters a graph gets the defaults of its context; LangGraph makes an empty mapping None."""
    assert (await ask(await serve_graph(context_graph(Context)))).text == f"{Context()} {{}}"
    graph = await serve_graph(context_graph(ContextDict))
    assert (await ask(graph)).text == "None {}"
    assert (await ask(graph, model="large")).text == "{'model': 'large'} {'model': 'large'}"


@pytest.mark.parametrize("from_strings", [True, False])
async def test_context_parameters(serve_graph: LoadGraph, from_strings: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Fields of the context are validated parameters, which nodes find in the context and in `configurable`."""
    values = {"limit": ["5"], "tags": ["a"]} if from_strings else {"limit": 5, "tags": ["a"]}
    graph = await serve_graph(context_graph(Context))
    answer = await ask(graph, from_strings=from_strings, **values)
    assert answer.text == f"{Context(limit=5, tags=['a'])} {{'limit': 5}}"
    entries = {entry.name: (entry.schema, entry.required, entry.description) for entry in graph.contract.parameters}
    assert entries == {
        "model": ({"type": "string", "default": "small"}, False, "Name of the model."),
        "limit": ({"type": "integer", "default": 3}, False, ""),
        "tags": ({"type": "array", "items": {"type": "string"}}, False, ""),
    }


async def test_invalid_context_parameters(serve_graph: LoadGraph) -> None:
    """A parameter of the wrong type, below its bound, or missing is a BadQuestion that names it and the value."""
    graph = await serve_graph(context_graph(ContextModel))
    assert await error_message(graph, model="small", limit="many") == (
        "limit",
        "`limit`: input should be a valid integer, unable to parse string as an integer, got 'many'.",
    )
    assert await error_message(graph, model="small", limit=0) == (
        "limit",
        "`limit`: input should be greater than or equal to 1, got '0'.",
    )
    assert await error_message(graph, model="huge") == (
        "model",
        "`model`: input should be 'small' or 'large', got 'huge'.",
    )
    assert await error_message(graph) == ("model", "`model` is missing.")
    assert await error_message(graph, limits=1) == ("limits", "`limits` is not a parameter: did you mean `limit`?")
    assert await error_message(graph, x=1) == ("x", "`x` is not a parameter: use `q`, `model`, `limit`.")
    with pytest.raises(BadQuestion, match="`limit` is given 2 times"):
        graph.parse_parameters({"model": ["small"], "limit": ["1", "2"]}, from_strings=True)


class Report(TypedDict):
    """An output that differs from the state."""

    topic: str
    info: dict[str, Any]
    sources: list[str]


class ReportState(TypedDict):
    """The complete state."""

    topic: str
    shape: dict[str, Any]
    notes: list[str] | None
    info: dict[str, Any]
    sources: list[str]
    is_last_step: IsLastStep


@dataclass
class TopicInput:
    """An input whose first text is the question."""

    shape: dict[str, Any]
    topic: str
    notes: list[str] | None = None


def report_graph() -> Any:
    """Return a graph with separate schemas for input, state and output."""

    def fill(state: ReportState) -> dict[str, Any]:
        return {"info": {"topic": state["topic"], **state["shape"]}, "sources": state.get("notes") or []}

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(ReportState, input_schema=TopicInput, output_schema=Report)
    builder.add_node("fill", fill)
    builder.add_edge(START, "fill")
    return builder.compile()


async def test_fields_of_the_input(serve_graph: LoadGraph) -> None:
    """The first required text is the question, other fields are parameters; other fields of the output are returned."""
    graph = await serve_graph(report_graph(), output_key="info")
    assert [(entry.name, entry.required) for entry in graph.contract.parameters] == [("shape", True), ("notes", False)]
    answer = await ask(graph, "owls", from_strings=True, shape=['{"legs": 2}'], notes=["a", "b"])
    assert answer.fields == {"topic": "owls", "legs": 2, "sources": ["a", "b"]}
    assert await error_message(graph) == ("shape", "`shape` is missing.")
    assert await error_message(graph, shape="x") == ("shape", "`shape`: input should be a valid dictionary, got 'x'.")


class LogState(TypedDict):
    """A state whose first field is a list."""

    logs: list[dict[str, int]]
    summary: str
    errors: int


async def test_question_that_is_not_text(serve_graph: LoadGraph) -> None:
    """If the first field takes no text, the question is its JSON; the answer is the last field with text."""

    def count(state: LogState) -> dict[str, Any]:
        return {"summary": f"{len(state['logs'])} logs", "errors": 0}

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(LogState)
    builder.add_node("count", count)
    builder.add_edge(START, "count")
    graph = await serve_graph(builder.compile())
    assert await ask(graph, '[{"a": 1}, {}]') == Answer("2 logs")
    with pytest.raises(BadQuestion, match="`q`: input should be a valid list, got 'hello'"):
        await ask(graph)
    with pytest.raises(BadQuestion, match=r"`q`: 0\.a: input should be a valid integer.*got 'x'"):
        await ask(graph, '[{"a": "x"}]')


class ChatState(TypedDict):
    """Messages beside other fields, private ones, and one that LangGraph manages."""

    messages: Annotated[list[AnyMessage], add_messages]
    drafts: Annotated[list[AnyMessage], add_messages]
    tone: str
    thread: str
    _secret: str
    is_last_step: IsLastStep


async def test_message_state(serve_graph: LoadGraph) -> None:
    """If there are messages, the question is one; managed and private values and askd's names are no parameters."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(ChatState)
    builder.add_node("say", lambda state: {"messages": [AIMessage(f"{state['tone']} {len(state['drafts'])}")]})
    builder.add_edge(START, "say")
    graph = await serve_graph(builder.compile())
    schemas = {entry.name: entry.schema for entry in graph.contract.parameters}
    assert schemas == {"drafts": {"type": "array"}, "tone": {"type": "string"}}
    draft = {"role": "user", "content": "x"}
    assert await ask(graph, tone="kind", drafts=[draft]) == Answer("kind 1")


async def test_thread_without_memory(serve_graph: LoadGraph) -> None:
    """A thread without any memory is a BadQuestion that names the setting."""
    graph = await serve_graph(sequential_graph(count=count_messages).compile())
    parameter, message = await error_message(graph, thread="a")
    assert parameter == "thread"
    assert "ASKD_GRAPH_MEMORY" in message


async def test_nodes_find_a_thread_id(serve_graph: LoadGraph) -> None:
    """`configurable.thread_id` is set without a checkpointer too, and differs for each question."""

    def show(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [AIMessage(config["configurable"]["thread_id"])]}

    graph = await serve_graph(sequential_graph(show=show).compile())
    first, second = (await ask(graph)).text, (await ask(graph)).text
    assert first.startswith("askd-")
    assert first != second


async def test_configurable_fields_of_nodes(serve_graph: LoadGraph) -> None:
    """Fields that a node declares as configurable are validated parameters."""
    model = FakeListChatModel(responses=["default"]).configurable_fields(responses=ConfigurableField(id="replies"))
    builder = StateGraph(MessagesState)
    node = RunnableLambda(lambda state: state["messages"]) | model | RunnableLambda(lambda reply: {"messages": [reply]})
    builder.add_node("say", node)
    graph = await serve_graph(builder.add_edge(START, "say").compile())
    assert [entry.name for entry in graph.contract.parameters] == ["replies"]
    assert [(await ask(graph)).text, (await ask(graph, replies=["mine"])).text] == ["default", "mine"]
    with pytest.raises(BadQuestion, match="replies"):
        await ask(graph, replies=7)


class Logs(TypedDict):
    """A state whose question is not text."""

    raw_logs: list[dict[str, int]]
    report: str


async def test_question_by_the_name_of_its_field(serve_graph: LoadGraph) -> None:
    """A question in another field than `messages` may have its name, and be JSON if the field takes no text."""

    def count(state: Logs) -> dict[str, Any]:
        return {"report": str(len(state["raw_logs"]))}

    builder = StateGraph(Logs)
    builder.add_node("count", count)
    graph = await serve_graph(builder.add_edge(START, "count").compile())
    for body in (b'{"q": [{"a": 1}]}', b'{"raw_logs": [{"a": 1}]}', b'{"q": "[{\\"a\\": 1}]"}'):
        text, _ = request_values.parse_json(body, graph.contract.question)
        assert (await ask(graph, text)).text == "1"
    with pytest.raises(BadQuestion, match="`q`"):
        await ask(graph, "[1]")
