"""Functions of cloud platforms: event handlers and functions of an HTTP request.

Event handlers, `(event, context)`, are those of AWS Lambda, OpenFaaS and OpenWhisk. Functions of a request are those of
functions-framework, Knative and Azure, which use the request of Flask or Starlette, or one like it. The parameters of
the question are the query, the body and the keys of the event, so that the function finds them where it looks.
"""

import base64
import codecs
import functools
import inspect
import json
import sys
import types
import urllib.parse
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from inspect import Parameter
from typing import Any, Final, TypeAlias

from askd.answerers.function.framework_adapters.adapted_function import (
    AdaptedFunction,
    function_parameters,
    make_adapted_function,
)
from askd.errors import Refused
from askd.models import Question

_EVENT_NAMES: Final = frozenset({"event", "evt"})
_EVENT_NAMES_WITH_CONTEXT: Final = frozenset({*_EVENT_NAMES, "data", "request"})
_CONTEXT_NAMES: Final = frozenset({"context", "ctx", ""})
_OPENWHISK_NAMES: Final = frozenset({"args", "params"})
_REQUEST_NAMES: Final = frozenset({"request", "req"})
_REQUEST_TYPES: Final = frozenset({"Request", "HttpRequest"})
"""Names of the types of requests in Flask, Werkzeug and Azure."""
_REQUEST_ATTRIBUTES: Final = frozenset(
    {
        "args",
        "data",
        "form",
        "get_body",
        "get_data",
        "get_json",
        "is_json",
        "json",
        "method",
        "params",
        "stream",
        "values",
    }
)
"""Attributes by which a function shows that its parameter is a request rather than text."""
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_UNTYPED: Final = (Parameter.empty, Any, dict, "dict", "Dict", "dict[str, Any]", "Dict[str, Any]", dict[str, Any])
_Call: TypeAlias = Callable[[Any, dict[str, Any], Question], Any]
"""Calls a function with the parameters of a question, in the way of its framework."""


class Event(dict[str, Any]):
    """The parameters of a request, with the keys of API Gateway's events and the attributes of OpenFaaS's."""

    def __init__(self, parameters: Mapping[str, Any], question: Question) -> None:
        self.body = question.text.encode()
        self.query = _query(parameters)
        self.headers = {name.lower(): value for name, value in question.headers.items()}
        self.method, self.path = _method(question), "/ask"
        http = {"method": self.method, "path": self.path, "sourceIp": question.client}
        super().__init__(
            {
                "version": "2.0",
                "rawPath": self.path,
                "path": self.path,
                "httpMethod": self.method,
                "headers": self.headers,
                "queryStringParameters": self.query,
                "pathParameters": None,
                "requestContext": {"requestId": question.id, "http": http},
                "body": json.dumps(parameters),
                "isBase64Encoded": False,
                "data": question.text if parameters.keys() == {"q"} else dict(parameters),  # of Kubeless
                **parameters,
            }
        )


class Context(dict[str, Any]):
    """The context of a Knative function: a mapping whose items are also attributes, or None if they are missing."""

    __getattr__ = dict.get


class Request:
    """A request with the attributes of Flask's and Azure's, for functions that do not import Flask."""

    def __init__(self, parameters: Mapping[str, Any], question: Question) -> None:
        self.args = self.form = self.params = self.values = _query(parameters)
        self.json = dict(parameters)
        self.data = json.dumps(parameters).encode()
        self.headers = question.headers
        self.method, self.path, self.url = _method(question), "/ask", "/ask"
        self.content_type = _content_type(question)
        self.mimetype = self.content_type.partition(";")[0].lower()
        self.is_json = self.mimetype == "application/json"

    def get_json(self, **_: Any) -> dict[str, Any]:
        """Return the parameters."""
        return self.json

    def get_data(self, *, as_text: bool = False, **_: Any) -> bytes | str:
        """Return the body."""
        return self.data.decode() if as_text else self.data

    def get_body(self) -> bytes:
        """Return the body."""
        return self.data


def _headers_without_content(question: Question) -> dict[str, str]:
    return {name: text for name, text in question.headers.items() if not name.lower().startswith("content-")}


def _method(question: Question) -> str:
    """Return the method of the request: only those with a body have a content type."""
    return "POST" if "Content-Type" in question.headers else "GET"


def _content_type(question: Question) -> str:
    """Return the content type of a form, and JSON's for all other requests."""
    content_type = question.headers.get("Content-Type", "")
    return content_type if content_type.lower().startswith(_FORM_TYPE) else "application/json"


def _query(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters as text, as in a query or a form."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}


def adapt_to_function(value: object) -> AdaptedFunction | None:
    """Return the adapter for a function with the parameters of an event handler or of a function of a request."""
    parameters = function_parameters(value)
    if not 1 <= len(parameters) <= 2 or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    first, *rest = parameters
    with_context = bool(rest) and rest[0].name.lstrip("_") in _CONTEXT_NAMES
    if rest and not with_context:
        return None
    if not rest and (call := _find_request_call(value, first)):
        note = f"a function of an HTTP request: `{first.name}` has the parameters as JSON and query"
        return _adapt_handler(value, call, note)
    if _is_event_handler(value, first, with_context=with_context):
        return _adapt_event_handler(value, with_context=with_context)
    if not rest and first.name == "context" and "request" in _attribute_names(value):
        call = functools.partial(_call_with_context, _request_call(value))
        return _adapt_handler(value, call, "a Knative function: `context.request` has the parameters")
    return None


def _is_event_handler(value: Any, first: Parameter, *, with_context: bool) -> bool:
    if with_context and first.name in _EVENT_NAMES_WITH_CONTEXT:
        return first.annotation not in {str, "str"}
    if first.annotation not in _UNTYPED:
        return False
    is_openwhisk = getattr(value, "__name__", "") == "main" or "get" in _attribute_names(value)
    return first.name in _EVENT_NAMES or (first.name in _OPENWHISK_NAMES and is_openwhisk)


def _find_request_call(value: object, first: Parameter) -> _Call | None:
    """Return the way to call a function of a request, or None if it is not one."""
    registry = sys.modules.get("functions_framework._function_registry")
    name = getattr(value, "__name__", "")
    # The registry has only names, also those of other modules' functions; but a decorated function has `__wrapped__`.
    if registry and hasattr(value, "__wrapped__") and registry.REGISTRY_MAP.get(name) == "http":
        return _call_with_starlette if name in getattr(registry, "ASGI_FUNCTIONS", ()) else _request_call(value)
    return _request_call(value) if _takes_request(value, first) else None


def _request_call(value: object) -> _Call:
    """Return the call with a request of Flask if the code has imported it; Flask does not await coroutines."""
    use_flask = "flask" in sys.modules and not inspect.iscoroutinefunction(value)
    return _call_with_flask if use_flask else _call_with_request


def _takes_request(value: object, first: Parameter) -> bool:
    annotation = first.annotation
    if annotation is Parameter.empty:
        return first.name in _REQUEST_NAMES and not _REQUEST_ATTRIBUTES.isdisjoint(_attribute_names(value))
    name = annotation.rpartition(".")[2] if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    package = str(getattr(annotation, "__module__", "")).partition(".")[0]
    is_model = bool(getattr(annotation, "__annotations__", None)) and package not in {"flask", "werkzeug", "azure"}
    return name in _REQUEST_TYPES and not is_model and package not in {"starlette", "fastapi", "aiohttp"}


def _attribute_names(value: object) -> set[str]:
    """Return the names that a function's code uses, also in the functions inside it."""
    codes = [getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None]
    names: set[str] = set()
    for code in codes:  # grows while it is read
        if isinstance(code, types.CodeType):
            names.update(code.co_names)
            codes.extend(code.co_consts)
    return names


def _adapt_event_handler(value: Any, *, with_context: bool) -> AdaptedFunction:
    def call_handler(function: Any, parameters: dict[str, Any], question: Question) -> Any:
        event = Event(parameters, question)
        return function(event, _create_context(function, question)) if with_context else function(event)

    note = "an event handler: the event has the parameters as keys, in `queryStringParameters` and in `body`"
    return _adapt_handler(value, call_handler, note)


def _create_context(function: Any, question: Question) -> Any:
    name = getattr(function, "__name__", "function")
    return types.SimpleNamespace(
        aws_request_id=question.id,
        function_name=name,
        function_version="$LATEST",
        invoked_function_arn=name,
        memory_limit_in_mb=0,
        log_group_name="",
        log_stream_name="",
        hostname="",
        get_remaining_time_in_millis=lambda: int((question.time_left or 0.0) * 1e3),
    )


def _adapt_handler(value: Any, adapted: _Call, note: str) -> AdaptedFunction:
    parameters = [
        Parameter("event", Parameter.POSITIONAL_OR_KEYWORD, annotation=dict),
        Parameter("question", Parameter.KEYWORD_ONLY, annotation=Question),
    ]

    if inspect.iscoroutinefunction(value):

        async def call_async(event: dict[str, Any], *, question: Question) -> Any:
            return _to_result(await adapted(value, event, question))

        return make_adapted_function(call_async, parameters, value, note)

    def call(event: dict[str, Any], *, question: Question) -> Any:
        return _to_result(adapted(value, event, question))

    return make_adapted_function(call, parameters, value, note)


def _call_with_request(function: Any, parameters: dict[str, Any], question: Question) -> Any:
    return function(Request(parameters, question))


def _call_with_context(call: _Call, function: Any, parameters: dict[str, Any], question: Question) -> Any:
    return call(lambda request: function(Context(request=request)), parameters, question)


def _call_with_flask(function: Any, parameters: dict[str, Any], question: Question) -> Any:
    """Call the function in a request context of Flask, because it may use `jsonify`, `abort` or `flask.request`."""
    import flask  # noqa: PLC0415 the user's code has imported it

    with flask.Flask("askd").test_request_context(
        "/ask",
        method=_method(question),
        query_string=_query(parameters),
        data=json.dumps(parameters),
        content_type=_content_type(question),
        headers=_headers_without_content(question),
    ) as context:
        # Set, not parsed: the parameters are a form and JSON at once, whatever the content type is.
        request = context.request
        request.form = request.values = request.parameter_storage_class(_query(parameters))
        request.files = request.parameter_storage_class()
        request.get_json = lambda *_, **__: parameters
        result = function(request)
        return result if result is None else context.app.make_response(result)


def _call_with_starlette(function: Any, parameters: dict[str, Any], question: Question) -> Any:
    from starlette.requests import Request as StarletteRequest  # noqa: PLC0415 functions_framework.aio has imported it

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(parameters).encode()}

    headers = {**_headers_without_content(question), "content-type": "application/json"}
    scope = {
        "type": "http",
        "method": _method(question),
        "path": "/ask",
        "query_string": urllib.parse.urlencode(_query(parameters)).encode(),
        "headers": [(name.lower().encode(), text.encode(errors="surrogateescape")) for name, text in headers.items()],
        "client": (question.client, 0),
    }
    return function(StarletteRequest(scope, receive))


def _to_result(result: Any) -> Any:
    """Return the body of a response in any of the platforms' forms. Raises Refused for an error status."""
    status: Any = 200
    body = result
    if isinstance(result, tuple) and len(result) in {2, 3} and isinstance(result[1], int):
        body, status = result[:2]
    elif isinstance(result, Mapping) and "body" in result and not result.keys() - _RESPONSE_KEYS:
        body, status = result["body"], int(result.get("statusCode", result.get("status", 200)))
        if result.get("isBase64Encoded"):
            body = base64.b64decode(body)
    elif hasattr(result, "body_iterator") and result.status_code < 400:
        return _decode_parts(result.body_iterator)
    elif hasattr(result, "status_code"):
        get_body = getattr(result, "get_data", None) or getattr(result, "get_body", None)
        body, status = get_body() if get_body else getattr(result, "body", ""), result.status_code
    body = _decode_body(body)
    if status >= 400:
        detail = body if isinstance(body, str) else json.dumps(body)
        if status in {*range(400, 500), 503}:
            raise Refused(status, detail)
        raise RuntimeError(f"the function returned the status {status}: {detail}")
    return body


_RESPONSE_KEYS: Final = frozenset(
    {"statusCode", "status", "body", "headers", "multiValueHeaders", "isBase64Encoded", "cookies"}
)
"""Keys of API Gateway's response, and of the responses of OpenFaaS and OpenWhisk."""


async def _decode_parts(parts: AsyncIterable[str | bytes]) -> AsyncIterator[str]:
    """Yield the parts of a StreamingResponse as text; a character may begin in one part and end in the next."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for part in parts:
        yield part if isinstance(part, str) else decoder.decode(part)


def _decode_body(body: Any) -> Any:
    """Return the value of a body that is JSON; other bodies are returned as they are."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    if isinstance(text, str) and text.lstrip().startswith(("{", "[", '"')):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
