"""Connection to Redis through the optional redis package."""

import re
from collections.abc import Sequence
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, Protocol

from askd.errors import StartupError

if TYPE_CHECKING:
    from redis.asyncio import Redis as Client

Command = tuple[str | bytes | int | float, ...]
_URL_PATTERN: Final = re.compile(r"(rediss?://[^/?\s]+(/\d*)?|unix://\S+)(\?\S*)?")


class CommandRunner(Protocol):
    """Runs commands: a RedisConnection, or a fake in tests."""

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline. Returns a result or an exception for each; raises if all failed."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class RedisConnection:
    """One connection to Redis, opened by the first command.

    Args:
        url: `redis://`, `rediss://` or `unix://` URL.
        scripts: Lua scripts that commands call by EVALSHA.

    Raises:
        StartupError: The redis package is not installed, or the URL is invalid.
    """

    def __init__(self, url: str, scripts: Sequence[str]) -> None:
        self._client = _create_client(url)
        self._scripts = scripts

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline. Reloads the scripts if the server lost them in a restart or failover."""
        results = await self._send(commands)
        failed_indexes = [index for index, result in enumerate(results) if _is_missing_script(result)]
        if failed_indexes:
            load_commands: list[Command] = [("SCRIPT LOAD", script) for script in self._scripts]
            retry_results = await self._send([*load_commands, *(commands[index] for index in failed_indexes)])
            for index, result in zip(failed_indexes, retry_results[len(load_commands) :], strict=True):
                results[index] = result
        return results

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        # If this is cancelled, the redis package closes the connection, so no late reply is taken for the next command.
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            results: list[Any] = await pipeline.execute(raise_on_error=False)
        return results

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


def script_sha(script: str) -> str:
    """Return the SHA-1 by which EVALSHA identifies a script."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


def redact_url(url: str) -> str:
    """Return the URL without user, password and options, which may be secret."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]


def _is_missing_script(result: object) -> bool:
    from redis.exceptions import NoScriptError  # noqa: PLC0415 - optional dependency

    return isinstance(result, NoScriptError)


def _create_client(url: str) -> "Client":
    try:
        from redis.asyncio import Redis as Client  # noqa: PLC0415 - optional dependency
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - optional dependency
        from redis.backoff import NoBackoff  # noqa: PLC0415 - optional dependency
    except ImportError:
        raise StartupError('--redis-url requires the redis package: pip install "askd[redis]"') from None
    if not _URL_PATTERN.fullmatch(url):
        raise _invalid_url_error()
    try:
        # RESP2 saves a round trip per connection, and every Redis and Valkey supports it. Retries are left to
        # BatchingRedisClient, which knows how long requests may wait.
        client = Client.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0))
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # the package is typed in part
    except (ValueError, TypeError):
        raise _invalid_url_error() from None
    return client


def _invalid_url_error() -> StartupError:
    """Return the error, without the URL, which may contain a password."""
    return StartupError(
        "invalid --redis-url: expected redis://host:6379/0, rediss://user:password@host or unix:///path/to/socket, "
        "with no other options than those of the redis package"
    )
