"""The error tree as OpenAPI responses, so that a new error class documents itself."""

import inspect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from service import errors
from service.errors import Problem

_ANY_4XX: Final = "4XX"
_OFF_ROUTE: Final = {errors.NotFound, errors.MethodNotAllowed}
"""They tell of a request that met no operation."""
_BODY: Final = {errors.BodyTooLarge, errors.RequestTimeout, errors.Unsupported}
LIMITED: Final = {"RateLimit": "RateLimit", "RateLimit-Policy": "RateLimitPolicy"}
"""Headers of every answer to a client that is held to a rate, and their components."""
_EVERYWHERE: Final = {errors.ExpectationFailed, errors.InternalError}


def kinds() -> list[type[Problem]]:
    """Return the classes below Problem, one for each code, by status and code."""
    by_code: dict[str, type[Problem]] = {}
    for kind in _below(Problem):
        by_code.setdefault(kind.code, kind)
    return sorted(by_code.values(), key=lambda kind: (int(kind.status), kind.code))


def _below(root: type[Problem]) -> Iterator[type[Problem]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _below(kind)


def listed() -> list[dict[str, Any]]:
    """Return what a reader wants to know of each problem; `status` is "4XX" where the user's code chooses it."""
    return [
        {
            "code": kind.code,
            "title": kind.title,
            "status": _status(kind),
            "meaning": meaning(kind),
            "retry": kind.retry_after is not None,
        }
        for kind in kinds()
    ]


def meaning(kind: type[Problem]) -> str:
    """Return the class's docstring on one line, or its title where Python was told to drop docstrings."""
    return " ".join((inspect.getdoc(kind) or kind.title).split())


def responses() -> dict[str, Any]:
    """Return the response components: one for each set of problems that an operation gives the same status."""
    groups = [*_grouped(_EVERYWHERE).values()]
    for body in (False, True):
        groups += _grouped(_of_ask(body=body, refuses=True, guarded=True, limited=True)).values()
    groups += [[errors.Unavailable]]
    return {_name(group): _response(group) for group in groups}


def everywhere(*, guarded: bool) -> dict[str, Any]:
    """Return the failures that every operation may have; `guarded` tells whether a token is asked for."""
    return _references(_EVERYWHERE | ({errors.Unauthorized} if guarded else set()))


def of_ask(*, body: bool, refuses: bool, guarded: bool, limited: bool) -> dict[str, Any]:
    """Return the failures of a question.

    `refuses` tells whether the code may choose a status of its own, `guarded` whether a token is asked for, `limited`
    whether clients are held to a rate.
    """
    return _references(_of_ask(body=body, refuses=refuses, guarded=guarded, limited=limited))


def _of_ask(*, body: bool, refuses: bool, guarded: bool, limited: bool) -> set[type[Problem]]:
    left_out = _OFF_ROUTE | (set() if body else _BODY) | (set() if refuses else {errors.Refused})
    left_out |= (set() if guarded else {errors.Unauthorized}) | (set() if limited else {errors.TooManyRequests})
    return set(kinds()) - left_out


def _grouped(found: Iterable[type[Problem]]) -> dict[str, list[type[Problem]]]:
    groups: dict[str, list[type[Problem]]] = defaultdict(list)
    for kind in sorted(found, key=lambda kind: (_status(kind), kind.code)):
        groups[_status(kind)].append(kind)
    return groups


def _references(found: Iterable[type[Problem]]) -> dict[str, Any]:
    return {status: reference(*group) for status, group in _grouped(found).items()}


def reference(*group: type[Problem]) -> dict[str, Any]:
    """Return a `$ref` to the response component of these problems."""
    return {"$ref": f"#/components/responses/{_name(group)}"}


def _status(kind: type[Problem]) -> str:
    return _ANY_4XX if issubclass(kind, errors.Refused) else str(int(kind.status))


def _name(group: Iterable[type[Problem]]) -> str:
    return "Or".join(kind.__name__ for kind in group)


def _response(found: list[type[Problem]]) -> dict[str, Any]:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if any(kind.retry_after is not None for kind in found):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    if errors.TooManyRequests in found:
        headers |= {name: {"$ref": f"#/components/headers/{component}"} for name, component in LIMITED.items()}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": "\n\n".join(f"`{kind.code}`: {meaning(kind)}" for kind in found),
        "x-codes": [kind.code for kind in found],
        "headers": headers,
        # A browser gets the same as a page; programs always get problem+json.
        "content": {"application/problem+json": {"schema": schema}, "text/html": {"schema": {"type": "string"}}},
    }
