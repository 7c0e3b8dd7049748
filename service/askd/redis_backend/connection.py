"""Redis, by the package of that name: a URL becomes commands sent and results taken."""

import re
from collections.abc import Sequence
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, Protocol

from service.errors import StartupError

if TYPE_CHECKING:
    from redis.asyncio import Redis as Client

Command = tuple[str | bytes | int | float, ...]
_URL: Final = re.compile(r"(rediss?://[^/?\s]+(/\d*)?|unix://\S+)(\?\S*)?")


class Server(Protocol):
    """What answers commands."""

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; return the result of each, an exception where it failed. Raises any, for all."""
        ...

    async def close(self) -> None:
        """Release the connection."""
        ...


class Redis:
    """One Redis, over one connection that is made when needed. `scripts` are those that EVALSHA may name."""

    def __init__(self, url: str, scripts: Sequence[str]) -> None:
        """Raise StartupError where the package is missing or the URL is faulty; no connection is made yet."""
        self._client = _client(url)
        self._scripts = scripts

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; a server that lost the scripts, by a restart or a failover, gets them again."""
        results = await self._send(commands)
        lost = [number for number, result in enumerate(results) if _is_lost_script(result)]
        if lost:
            loading: list[Command] = [("SCRIPT LOAD", script) for script in self._scripts]
            again = await self._send([*loading, *(commands[number] for number in lost)])
            for number, result in zip(lost, again[len(loading) :], strict=True):
                results[number] = result
        return results

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        # Cancelled in between, the package closes the connection, so that no late reply meets the next command.
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            results: list[Any] = await pipeline.execute(raise_on_error=False)
        return results

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


def sha(script: str) -> str:
    """Return the name that Redis gives a script."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


def shown(url: str) -> str:
    """Return a URL for people: without user, password and options, which may hold secrets."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]


def _is_lost_script(result: object) -> bool:
    from redis.exceptions import NoScriptError  # noqa: PLC0415 - an extra: imported only where it is configured

    return isinstance(result, NoScriptError)


def _client(url: str) -> "Client":
    try:
        from redis.asyncio import Redis as Client  # noqa: PLC0415 - as above
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - as above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    except ImportError:
        raise StartupError("--redis-url needs the package redis: pip install 'askd[redis]'") from None
    if not _URL.fullmatch(url):
        raise _faulty()
    try:
        # RESP2 spares each connection a round trip, and every Redis and Valkey speaks it; what is retried, and when,
        # is for those who wait to say.
        client = Client.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0))
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # the package is typed in part
    except (ValueError, TypeError):
        raise _faulty() from None
    return client


def _faulty() -> StartupError:
    """Name the fault without the value, which may hold a password."""
    return StartupError(
        "--redis-url is no URL of a Redis: give one such as redis://host:6379/0, rediss://user:password@host or "
        "unix:///path/to/socket, with no other options than the package redis knows"
    )
