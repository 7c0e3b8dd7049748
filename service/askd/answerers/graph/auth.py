"""The `auth` of a `langgraph.json`: LangGraph's handlers decide who may ask, as on LangGraph's own server.

The `@auth.authenticate` handler gets the request, and returns the user. The most specific `@auth.on` handlers for the
creation of a thread, if the question names one, and of a run decide whether this user may ask. Each user has threads of
their own, and others for each filter that the handler of runs returns: a filter selects threads by the metadata with
which they were created, so a user whose filter has changed must not find the threads of before.
"""

import asyncio
import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.cookies import CookieError, SimpleCookie
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from askd.answerers.graph.project import ProjectObject
from askd.answerers.user_code.importer import resolve_target
from askd.answerers.user_code.user_module import UserModule
from askd.errors import AnswererFailed, LoadError, Problem, Refused, Unauthorized
from askd.models import Question

_THREAD_NAMESPACE: Final = uuid5(NAMESPACE_URL, "tag:askd,user-thread")
"""Namespace of the thread ids of users. Changing it loses all conversations."""
_METHOD: Final = "POST"
"""The method that handlers see, as for the creation of a run: a `GET /ask` runs the graph as well."""
_RESOURCE: Final = "threads"
_FORWARDED_HEADERS: Final = ("WWW-Authenticate", "Retry-After")


class AuthUser(Mapping[str, Any]):
    """The user whom a handler returned, with the attributes and items that LangGraph's server adds.

    Args:
        value: The identity, a mapping with `identity`, or an object with that attribute.
        permissions: Permissions that the handler returned beside the user.
    """

    def __init__(self, value: Any, permissions: Any = None) -> None:
        fields = {"identity": value} if isinstance(value, str) else value
        self._value = value
        self._fields: dict[str, Any] = dict(fields) if isinstance(fields, Mapping) else {}
        identity = self._fields.get("identity", getattr(value, "identity", None))
        if not isinstance(identity, str) or not identity:
            raise TypeError(f"the authenticate handler returned {type(value).__name__} without `identity`")
        self.identity: str = identity
        if permissions is None:
            permissions = self._fields.get("permissions", getattr(value, "permissions", ()))
        self._fields["identity"] = identity
        self._fields["permissions"] = self.permissions = list(permissions or ())
        self.thread_filter: Mapping[str, Any] = {}
        """The filter of the user's threads that the handler of runs returned; empty for none."""
        self._fields.setdefault("is_authenticated", getattr(value, "is_authenticated", True))
        self._fields.setdefault("display_name", getattr(value, "display_name", identity))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # for copy and pickle, which look up special methods before the fields exist
            raise AttributeError(name)
        return self._fields[name] if name in self._fields else getattr(self._value, name)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def scope_thread(self, thread_id: str) -> str:
        """Return the id of the user's own thread of this name: a UUID, as on LangGraph's server."""
        owner = quote(self.identity, safe="")
        if self.thread_filter:
            owner += "?" + json.dumps(self.thread_filter, sort_keys=True, default=str)
        return str(uuid5(_THREAD_NAMESPACE, f"{owner}/{thread_id}"))

    def configurable(self) -> dict[str, Any]:
        """Return the values that nodes find in the `configurable` of their config."""
        return {
            "langgraph_auth_user": self,
            "langgraph_auth_user_id": self.identity,
            "langgraph_auth_permissions": self.permissions,
        }


@dataclasses.dataclass(frozen=True)
class AuthRequest:
    """The `request` of a handler: the part of Starlette's Request that a question has."""

    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    path_params: Mapping[str, str]
    query_params: Mapping[str, str]
    client: Any
    url: Any
    method: str = _METHOD


class GraphAuth:
    """The handlers of a project.

    Args:
        handlers: An `Auth` of `langgraph_sdk`, which has no public accessors for its handlers.
        name: Its spec, for messages.

    Raises:
        LoadError: There is no authenticate handler, or it requires a parameter that is unknown.
    """

    def __init__(self, handlers: Any, name: str) -> None:
        self._name = name
        authenticate = getattr(handlers, "_authenticate_handler", None)
        if not callable(authenticate):
            raise LoadError(f"{name} has no handler for authentication: decorate one with `@auth.authenticate`")
        self._create_thread = _find_handler(handlers, "create")
        self._create_run = _find_handler(handlers, "create_run")
        self._authenticate: Callable[..., Any] = authenticate
        parameters = inspect.signature(authenticate).parameters
        known = _handler_arguments(Question(text=""))
        self._parameters = [parameter for parameter in parameters if parameter in known]
        unknown = [
            name for name, parameter in parameters.items() if name not in known and parameter.default is parameter.empty
        ]
        if unknown:
            raise LoadError(
                f"{name}: the authenticate handler requires {', '.join(unknown)}, which askd does not have: "
                f"use {', '.join(known)}"
            )

    async def authenticate(self, question: Question) -> AuthUser:
        """Return the user who asks.

        Raises:
            Unauthorized: The handler rejected the request with 401.
            Refused: A handler rejected the request with another 4xx status.
            AnswererFailed: A handler failed; the log has the cause.
        """
        values = _handler_arguments(question)
        arguments = {name: values[name] for name in self._parameters}
        result = await self._call(partial(self._authenticate, **arguments), assertion_status=401)
        permissions, user = result if isinstance(result, tuple) and len(result) == 2 else (None, result)
        try:
            auth_user = AuthUser(user, permissions)
        except TypeError as error:
            raise AnswererFailed from error
        value: dict[str, Any] = {"thread_id": question.thread_id, "metadata": {}}
        if self._create_thread is not None and question.thread_id is not None:
            await self._authorize(self._create_thread, auth_user, "create", {**value, "if_exists": "do_nothing"})
        if self._create_run is not None:
            value["kwargs"] = {"input": {"question": question.text}}
            auth_user.thread_filter = await self._authorize(self._create_run, auth_user, "create_run", value)
        return auth_user

    async def _authorize(
        self, handler: Callable[..., Any], user: AuthUser, action: str, value: dict[str, Any]
    ) -> Mapping[str, Any]:
        """Let an `@auth.on` handler decide, and return its filter."""
        types = sys.modules.get("langgraph_sdk.auth.types")
        context = getattr(types, "AuthContext", SimpleNamespace)(
            permissions=user.permissions, user=user, resource=_RESOURCE, action=action
        )
        result = await self._call(partial(handler, ctx=context, value=value), assertion_status=403)
        if result is False:
            raise Refused(403, "The user may not ask this server.")
        if result is None or result is True:
            return {}
        if not isinstance(result, Mapping):
            type_name = type(result).__name__
            raise AnswererFailed from TypeError(f"a handler of {self._name} returned {type_name}, not a filter or bool")
        return result

    async def _call(self, call: "partial[Any]", *, assertion_status: int) -> Any:
        """Call a handler, a synchronous one in a thread. A failed assertion rejects the request."""
        try:
            if inspect.iscoroutinefunction(call.func):
                return await call()
            result = await asyncio.get_running_loop().run_in_executor(None, call)
            return await result if inspect.isawaitable(result) else result
        except AssertionError as error:
            raise _to_problem(assertion_status, str(error), {}) from error
        except Problem:
            raise
        except Exception as error:
            status = getattr(error, "status_code", None)
            if "HTTPException" in {base.__name__ for base in type(error).__mro__} and isinstance(status, int):
                headers = getattr(error, "headers", None)
                detail = getattr(error, "detail", None)
                raise _to_problem(status, str(detail or ""), headers if isinstance(headers, Mapping) else {}) from error
            raise AnswererFailed from error


def _find_handler(handlers: Any, action: str) -> Callable[..., Any] | None:
    """Return the most specific handler for an action on threads, or None."""
    by_key = getattr(handlers, "_handlers", None) or {}
    keys = ((_RESOURCE, action), (_RESOURCE, "*"), ("*", action), ("*", "*"))
    matching = [by_key[key][-1] for key in keys if by_key.get(key)]
    matching += list(getattr(handlers, "_global_handlers", None) or ())[-1:]
    return matching[0] if matching else None


async def load_auth(declared: ProjectObject, user_module: UserModule) -> GraphAuth:
    """Import the `Auth` object that the project names. Raises LoadError."""
    target = await user_module.run_in_thread(partial(resolve_target, declared.spec))
    return GraphAuth(target.value, target.name)


def _to_problem(status: int, detail: str, headers: Mapping[str, str]) -> Problem:
    if status == 401:
        return Unauthorized(
            detail or "The request is not authenticated.", challenge=headers.get("WWW-Authenticate", "Bearer")
        )
    if not 400 <= status < 500:
        return AnswererFailed()
    problem = Refused(status, detail or "The request was rejected.")
    problem.headers = {name: str(headers[name]) for name in _FORWARDED_HEADERS if name in headers}
    return problem


def _handler_arguments(question: Question) -> dict[str, Any]:
    """Return the value of each parameter that an authenticate handler may have."""
    headers = question.headers
    path = "/runs/wait" if question.thread_id is None else f"/threads/{quote(question.thread_id, safe='')}/runs/wait"
    path_params = {} if question.thread_id is None else {"thread_id": question.thread_id}
    client = SimpleNamespace(host=question.client, port=0)
    url = SimpleNamespace(path=path)
    return {
        "request": AuthRequest(headers, _parse_cookies(headers.get("Cookie", "")), path_params, {}, client, url),
        "body": {"input": {"question": question.text}},
        "path": path,
        "method": _METHOD,
        "scopes": [],
        "path_params": path_params,
        "query_params": {},
        "headers": {name.lower().encode(): value.encode("utf-8", "surrogateescape") for name, value in headers.items()},
        "authorization": headers.get("Authorization"),
    }


def _parse_cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}
