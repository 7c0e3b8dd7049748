"""The hooks of the user's module: functions called `startup`, `shutdown` and `ready`, all of them optional.

An async hook runs on the main loop; a synchronous one in the thread that imported the module, the same for all of
them, so that what one opens another may close (a connection of sqlite3, say), and none of them holds up the loop.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from service.answerers.threads import Pool
from service.errors import AnswererFailed, LoadError

log = structlog.get_logger("askd.answerer")


class Hooks:
    """The hooks of one module. `members` are its names; `aside` is the thread for synchronous hooks."""

    def __init__(self, members: Mapping[str, Any], aside: Pool, *, place: str) -> None:
        self._aside = aside
        self._hooks = {name: hook for name in ("startup", "shutdown", "ready") if (hook := members.get(name))}
        self._hooks = {name: hook for name, hook in self._hooks.items() if _is_hook(hook)}
        self._readiness_failed = False
        for name, hook in self._hooks.items():
            _check(hook, f"{place}:{name}")

    async def call(self, name: str) -> Any:
        """Return what the hook returns; None where there is none. Raises what it raises.

        For SystemExit and the like, which would end the server, AnswererFailed is raised with it as the cause.
        """
        hook = self._hooks.get(name)
        if hook is None:
            return None
        try:
            value = hook() if inspect.iscoroutinefunction(hook) else await self._aside.run(hook)
            return await value if inspect.isawaitable(value) else value
        except (SystemExit, KeyboardInterrupt) as fault:
            raise AnswererFailed from fault

    async def ready(self) -> tuple[bool, str]:
        """Return what `ready` says, and the reason. A hook that fails means no, and is logged when it begins to."""
        if "ready" not in self._hooks:
            return True, ""
        try:
            said = await self.call("ready")
        except Exception as fault:
            if not self._readiness_failed:
                log.exception("the ready hook failed")
            self._readiness_failed = True
            return False, f"the ready hook raised {type(fault).__name__}"
        self._readiness_failed = False
        return _verdict(said)


def _verdict(said: Any) -> tuple[bool, str]:
    if isinstance(said, bool):
        return said, "" if said else "the ready hook says no"
    if isinstance(said, tuple) and len(said) == 2:
        return bool(said[0]), str(said[1])
    return False, f"the ready hook returned {type(said).__name__}: return a bool, or (bool, reason)"


def _is_hook(value: object) -> bool:
    """A class or a flag of such a name is something else of the module's own."""
    return callable(value) and not inspect.isclass(value)


def _check(hook: Callable[..., Any], name: str) -> None:
    try:
        inspect.signature(hook).bind()
    except TypeError:
        raise LoadError(f"{name} is a hook, which is called without arguments: remove them, or rename it") from None
    except ValueError:
        return  # a built-in function that does not tell its parameters
