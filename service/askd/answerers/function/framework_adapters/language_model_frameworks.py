"""Objects of frameworks for language models: LangChain runnables, DSPy modules, LlamaIndex engines."""

import inspect
from collections.abc import AsyncIterator, Collection, Mapping
from inspect import Parameter
from typing import Any, Final

from askd.answerers.function.framework_adapters.adapted_function import (
    AdaptedFunction,
    has_base_in,
    make_adapted_function,
)
from askd.answerers.graph_state import get_message_text
from askd.errors import LoadError

_ENGINE_METHODS: Final = ("aquery", "achat", "aretrieve", "acomplete")
"""Methods of LlamaIndex that take the question: of query engines, chat engines, retrievers and models."""


def adapt_to_function(value: object) -> AdaptedFunction | None:
    """Return the adapter for an instance of a framework's class."""
    if inspect.isclass(value):
        return None
    if is_runnable(value):
        return _adapt_runnable(value)
    if has_base_in(value, "dspy") and hasattr(value, "forward"):
        return _adapt_dspy_module(value)
    return _adapt_llama_index(value) if has_base_in(value, "llama_index") else None


def is_runnable(value: object) -> bool:
    """Return whether the object is a LangChain runnable other than a graph: a chain, a prompt, a model."""
    return has_base_in(value, "langchain_core.runnables") and not hasattr(value, "aget_state")


def _adapt_runnable(value: Any) -> AdaptedFunction:
    schema = value.get_input_jsonschema()
    properties: dict[str, Any] = (schema.get("properties") if schema.get("type") == "object" else None) or {}
    streams_text = _is_text_schema(value.get_output_jsonschema())
    if not properties:
        parameters, note = [_text_parameter("question")], "a runnable that gets the question as text"
    else:
        name = _input_variable(schema)
        others = [_keyword_parameter(other, schema) for other in properties if other != name]
        parameters = [_text_parameter(name), *others]
        note = f"a runnable that gets the question as `{name}`"
    fields = _configurable_parameters(value, {parameter.name for parameter in parameters})
    field_names = {field.name for field in fields}
    is_list = bool(properties) and properties[parameters[0].name].get("type") == "array"

    def build_arguments(text: str, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the input and the config."""
        question = [("user", text)] if is_list else text
        configurable = {name: keywords.pop(name) for name in field_names & keywords.keys()}
        set_fields = {name: item for name, item in configurable.items() if item is not None}
        return {parameters[0].name: question, **keywords} if properties else text, {"configurable": set_fields}

    async def stream(text: str, /, **keywords: Any) -> AsyncIterator[Any]:
        async for chunk in value.astream(*build_arguments(text, keywords)):
            yield chunk if isinstance(chunk, str) else get_message_text(chunk)

    async def invoke(text: str, /, **keywords: Any) -> Any:
        result = await value.ainvoke(*build_arguments(text, keywords))
        return get_message_text(result) if hasattr(result, "content") else result

    return make_adapted_function(stream if streams_text else invoke, [*parameters, *fields], value, note)


def _configurable_parameters(value: Any, taken: Collection[str]) -> list[Parameter]:
    """Return the parameters for the fields of `configurable_fields` and `configurable_alternatives`."""
    return [
        Parameter(spec.id, Parameter.KEYWORD_ONLY, default=spec.default, annotation=spec.annotation)
        for spec in getattr(value, "config_specs", ())
        if spec.id.isidentifier() and spec.id not in taken
    ]


def _input_variable(schema: Mapping[str, Any]) -> str:
    """Return the variable that gets the question. Raises LoadError if several are required."""
    required = schema.get("required") or list(schema["properties"])
    if len(required) == 1:
        return str(required[0])
    likely = [name for name in required if name in {"question", "input", "query", "text", "messages"}]
    if len(likely) == 1:
        return str(likely[0])
    raise LoadError(
        f"the runnable has the input variables {', '.join(map(str, required))}, and it is not clear which one gets the "
        f"question: call it in a function, `def answer(text: str) -> str`"
    )


def _is_text_schema(schema: Mapping[str, Any]) -> bool:
    names = " ".join(map(str, [schema.get("title", ""), *schema.get("$defs", {})]))
    return schema.get("type") == "string" or "AIMessage" in names


def _adapt_dspy_module(value: Any) -> AdaptedFunction:
    fields = getattr(getattr(value, "signature", None), "input_fields", None)
    if not fields:
        fields = getattr(getattr(getattr(value, "predict", None), "signature", None), "input_fields", None)
    if fields:
        parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in fields]
    else:
        parameters = list(inspect.signature(value.forward).parameters.values())
    names = [parameter.name for parameter in parameters]

    def call(question: Any, /, *others: Any, **keywords: Any) -> Any:
        return value(**dict(zip(names, (question, *others), strict=False)), **keywords)

    return make_adapted_function(
        call, parameters, value.forward, f"a DSPy module that gets the question as `{names[0]}`"
    )


def _adapt_llama_index(value: Any) -> AdaptedFunction | None:
    target, description = value, type(value).__name__
    if hasattr(value, "as_query_engine"):
        target, description = value.as_query_engine(), f"the query engine of {description}"
    method = next((name for name in _ENGINE_METHODS if hasattr(target, name)), None)
    if method is None:
        return None
    ask = getattr(target, method)

    async def call(question: str) -> Any:
        return await ask(question)

    return make_adapted_function(call, [_text_parameter("question")], value, f"{description}, called with `{method}`")


def _text_parameter(name: str) -> Parameter:
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD)


def _keyword_parameter(name: str, schema: Mapping[str, Any]) -> Parameter:
    default = Parameter.empty if name in schema.get("required", ()) else schema["properties"][name].get("default")
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default)
