"""Admission control: bearer tokens (RFC 6750) and rate limits, checked before the question is parsed.

The token is checked before the rate limit, so that unauthenticated clients cannot use up a caller's quota.
"""

import hashlib
import re
from collections.abc import Awaitable, Iterator, Mapping
from time import perf_counter
from typing import Final, Protocol

from askd.context import RequestContext
from askd.errors import TooManyRequests, Unauthorized
from askd.guards.rate_limit import round_up_seconds
from askd.guards.tokens import TokenStore
from askd.httpserver.client_address import rate_limit_key
from askd.quota import Quota, RateLimitDecision, RateLimitStatistics

BEARER_CHALLENGE: Final = 'Bearer realm="askd"'
INVALID_BEARER_CHALLENGE: Final = f'{BEARER_CHALLENGE}, error="invalid_token"'
"""Challenge for requests with a token. Requests without one must not get an error code (RFC 6750, section 3.1)."""
AUTHORIZATION_HEADER: Final = "Authorization"

_BEARER_PATTERN: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]{1,512}=*)")
"""The scheme is case-insensitive (RFC 9110, section 11.1); RFC 6750, section 2.1, defines the token's alphabet."""
_MAX_THREAD_ID_LENGTH: Final = 256
"""Maximum number of characters of a thread id, as in `parsing.THREAD_ID_PATTERN`."""
_MISSING_CREDENTIALS: Final = "A token is required. Send it as `Authorization: Bearer <token>`."
_UNKNOWN_CREDENTIALS: Final = "The token is invalid. Send a valid one as `Authorization: Bearer <token>`."
_MULTIPLE_CREDENTIALS: Final = "The request has more than one Authorization header. Send one."


class Authenticator:
    """Identifies callers by their bearer tokens."""

    def __init__(self, tokens: TokenStore) -> None:
        self._tokens = tokens

    def authenticate(self, headers: Mapping[str, str], context: RequestContext) -> None:
        """Record the caller and the duration of the check in the request context. Raises Unauthorized."""
        started = perf_counter()
        try:
            context.caller = self.identify_caller(headers)
        finally:
            context.stages.auth = perf_counter() - started

    def identify_caller(self, headers: Mapping[str, str]) -> str:
        """Return the caller's name and count the request.

        Args:
            headers: Request headers. A plain mapping must use the canonical name `Authorization`.

        Raises:
            Unauthorized: The token is missing, malformed or unknown.
        """
        header = headers.get(AUTHORIZATION_HEADER)
        match = _BEARER_PATTERN.fullmatch(header) if header and not _has_multiple_credentials(headers) else None
        caller = self._tokens.authenticate(match[1]) if match else None
        if caller is None:
            raise self._reject(header, headers)
        return caller.name

    def _reject(self, header: str | None, headers: Mapping[str, str]) -> Unauthorized:
        """Count the rejection and return its error, which never repeats the credentials."""
        if header is None or header.partition(" ")[0].lower() != "bearer":
            self._tokens.record_rejection("missing")
            return Unauthorized(_MISSING_CREDENTIALS, challenge=BEARER_CHALLENGE)
        self._tokens.record_rejection("unknown")
        return Unauthorized(
            _MULTIPLE_CREDENTIALS if _has_multiple_credentials(headers) else _UNKNOWN_CREDENTIALS,
            challenge=INVALID_BEARER_CHALLENGE,
        )


def _has_multiple_credentials(headers: Mapping[str, str]) -> bool:
    """Return whether `Authorization` is repeated: a proxy in front of askd may have checked the other value."""
    getall = getattr(headers, "getall", None)
    return getall is not None and len(getall(AUTHORIZATION_HEADER, ())) > 1


def scope_thread_id(thread_id: str, owner: str) -> str:
    """Return a thread id that belongs to this owner only, and is the same on every replica.

    The owner is a caller, or one of several answerers. The first slash ends its name, because names cannot contain
    slashes. If the result would be too long for an answerer, a hash replaces the thread id.
    """
    scoped_id = f"{owner}/{thread_id}"
    if len(scoped_id) <= _MAX_THREAD_ID_LENGTH:
        return scoped_id
    return f"{owner}//{hashlib.sha256(thread_id.encode()).hexdigest()}"


class RedactedHeaders(Mapping[str, str]):
    """Request headers without `Authorization`, so that user code cannot log the token."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        if name.lower() == "authorization":
            raise KeyError(name)
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._headers if name.lower() != "authorization")

    def __len__(self) -> int:
        return sum(1 for _ in self)


class RateLimiter(Protocol):
    """Per-client rate limiter: in memory, or shared by all replicas."""

    quota: Quota
    is_async: bool
    """Whether `try_acquire` returns an awaitable."""

    def try_acquire(self, key: str) -> RateLimitDecision | Awaitable[RateLimitDecision]:
        """Count a request of the client with this key if its quota allows it."""
        ...

    def statistics(self) -> RateLimitStatistics:
        """Return the current counters."""
        ...


class AdmissionControl:
    """Authenticates and rate-limits requests.

    Args:
        tokens: Known tokens; None disables authentication.
        rate_limiter: None disables rate limits.
    """

    def __init__(self, *, tokens: TokenStore | None = None, rate_limiter: RateLimiter | None = None) -> None:
        self._authenticator = None if tokens is None else Authenticator(tokens)
        self._rate_limiter = rate_limiter
        self._policy_header = _format_policy(rate_limiter.quota) if rate_limiter else ""

    @property
    def is_noop(self) -> bool:
        """Whether both authentication and rate limits are disabled."""
        return self._authenticator is None and self._rate_limiter is None

    @property
    def is_async(self) -> bool:
        """Whether `check` may return an awaitable."""
        return self._rate_limiter is not None and self._rate_limiter.is_async

    def check(self, headers: Mapping[str, str], context: RequestContext) -> Awaitable[None] | None:
        """Authenticate the request and count it against the rate limit.

        Returns:
            None if the request is admitted; otherwise an awaitable that finishes the check and raises the same errors.

        Raises:
            Unauthorized: The token is missing or invalid.
            TooManyRequests: The client is over its rate limit.
        """
        if self._authenticator is not None:
            self._authenticator.authenticate(headers, context)
        return None if self._rate_limiter is None else self._check_rate_limit(self._rate_limiter, context)

    def _check_rate_limit(self, rate_limiter: RateLimiter, context: RequestContext) -> Awaitable[None] | None:
        started = perf_counter()
        # Authenticated requests count per caller, others per client address. No address begins with @.
        key = f"@{context.caller}" if context.caller else rate_limit_key(context.client)
        decision = rate_limiter.try_acquire(key)
        if isinstance(decision, RateLimitDecision):
            self._apply_decision(decision, context, started)
            return None
        return self._await_decision(decision, context, started)

    async def _await_decision(
        self, decision: Awaitable[RateLimitDecision], context: RequestContext, started: float
    ) -> None:
        self._apply_decision(await decision, context, started)

    def _apply_decision(self, decision: RateLimitDecision, context: RequestContext, started: float) -> None:
        """Set the `RateLimit` headers of the response, whatever its status. Raises TooManyRequests.

        A rejected client gets the same number of seconds in `RateLimit` and `Retry-After`, as
        draft-ietf-httpapi-ratelimit-headers requires.
        """
        context.stages.rate_limit = perf_counter() - started
        wait_seconds = round_up_seconds(decision.reset if decision.allowed else decision.retry_after)
        context.rate_limit_headers = self._policy_header, f'"default";r={decision.remaining};t={wait_seconds}'
        if not decision.allowed:
            raise TooManyRequests(wait_seconds)


def _format_policy(quota: Quota) -> str:
    """Return the `RateLimit-Policy` header. The draft has no parameter for bursts, so `askd-burst` is ours."""
    burst = "" if quota.burst == quota.rate.requests else f";askd-burst={quota.burst}"
    return f'"default";q={quota.rate.requests};w={int(quota.rate.seconds)}{burst}'
