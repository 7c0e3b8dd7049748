"""OpenAPI responses for the error classes. A new subclass of Problem is documented automatically."""

import inspect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from askd import errors
from askd.errors import Problem

_ANY_4XX: Final = "4XX"
_ROUTING_PROBLEMS: Final = {errors.NotFound, errors.MethodNotAllowed}
"""Sent for requests that match no operation."""
_BODY_PROBLEMS: Final = {errors.BodyTooLarge, errors.RequestTimeout, errors.UnsupportedMediaType}
RATE_LIMIT_HEADERS: Final = {"RateLimit": "RateLimit", "RateLimit-Policy": "RateLimitPolicy"}
"""Header names of rate-limited responses, and their components."""
_COMMON_PROBLEMS: Final = {errors.ExpectationFailed, errors.InternalError}


def problem_types() -> list[type[Problem]]:
    """Return one subclass of Problem for each code, sorted by status and code."""
    by_code: dict[str, type[Problem]] = {}
    for problem in _subclasses(Problem):
        by_code.setdefault(problem.code, problem)
    return sorted(by_code.values(), key=lambda problem: (int(problem.status), problem.code))


def _subclasses(root: type[Problem]) -> Iterator[type[Problem]]:
    for subclass in root.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def build_catalog() -> list[dict[str, Any]]:
    """Return `x-problems`: code, title, status, meaning and whether the problem is sent with `Retry-After`.

    `status` is "4XX" if the user's code chooses the status code.
    """
    return [
        {
            "code": problem.code,
            "title": problem.title,
            "status": _status_key(problem),
            "meaning": describe_problem(problem),
            "retry": problem.retry_after is not None,
        }
        for problem in problem_types()
    ]


def describe_problem(problem: type[Problem]) -> str:
    """Return the docstring of the class on one line, or its title if Python strips docstrings (`-OO`)."""
    return " ".join((inspect.getdoc(problem) or problem.title).split())


def build_response_components() -> dict[str, Any]:
    """Return the response components: one for each set of problems that share a status code in an operation."""
    groups = [*_group_by_status(_COMMON_PROBLEMS).values()]
    for has_body in (False, True):
        groups += _group_by_status(
            _ask_problems(has_body=has_body, allows_custom_status=True, requires_token=True, is_rate_limited=True)
        ).values()
    groups += [[errors.Unavailable]]
    return {_component_name(group): _response(group) for group in groups}


def common_responses(*, requires_token: bool) -> dict[str, Any]:
    """Return the error responses that every operation may send."""
    return _response_references(_COMMON_PROBLEMS | ({errors.Unauthorized} if requires_token else set()))


def ask_responses(
    *, has_body: bool, allows_custom_status: bool, requires_token: bool, is_rate_limited: bool
) -> dict[str, Any]:
    """Return the error responses of `/ask`.

    Args:
        has_body: Whether the request has a body.
        allows_custom_status: Whether the user's code may reject a question with a 4xx status of its choice.
        requires_token: Whether clients must send a token.
        is_rate_limited: Whether clients have a rate limit.
    """
    return _response_references(
        _ask_problems(
            has_body=has_body,
            allows_custom_status=allows_custom_status,
            requires_token=requires_token,
            is_rate_limited=is_rate_limited,
        )
    )


def _ask_problems(
    *, has_body: bool, allows_custom_status: bool, requires_token: bool, is_rate_limited: bool
) -> set[type[Problem]]:
    excluded = set(_ROUTING_PROBLEMS)
    if not has_body:
        excluded |= _BODY_PROBLEMS
    if not allows_custom_status:
        excluded.add(errors.Refused)
    if not requires_token:
        excluded.add(errors.Unauthorized)
    if not is_rate_limited:
        excluded.add(errors.TooManyRequests)
    return set(problem_types()) - excluded


def _group_by_status(problems: Iterable[type[Problem]]) -> dict[str, list[type[Problem]]]:
    groups: dict[str, list[type[Problem]]] = defaultdict(list)
    for problem in sorted(problems, key=lambda problem: (_status_key(problem), problem.code)):
        groups[_status_key(problem)].append(problem)
    return groups


def _response_references(problems: Iterable[type[Problem]]) -> dict[str, Any]:
    return {status: response_reference(*group) for status, group in _group_by_status(problems).items()}


def response_reference(*group: type[Problem]) -> dict[str, Any]:
    """Return a `$ref` to the response component of these problems."""
    return {"$ref": f"#/components/responses/{_component_name(group)}"}


def _status_key(problem: type[Problem]) -> str:
    return _ANY_4XX if issubclass(problem, errors.Refused) else str(int(problem.status))


def _component_name(group: Iterable[type[Problem]]) -> str:
    return "Or".join(problem.__name__ for problem in group)


def _response(problems: list[type[Problem]]) -> dict[str, Any]:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if any(problem.retry_after is not None for problem in problems):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    if errors.TooManyRequests in problems:
        headers |= {
            name: {"$ref": f"#/components/headers/{component}"} for name, component in RATE_LIMIT_HEADERS.items()
        }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": "\n\n".join(f"`{problem.code}`: {describe_problem(problem)}" for problem in problems),
        "x-codes": [problem.code for problem in problems],
        "headers": headers,
        # Browsers get the problem as a page; other clients always get problem+json.
        "content": {"application/problem+json": {"schema": schema}, "text/html": {"schema": {"type": "string"}}},
    }
