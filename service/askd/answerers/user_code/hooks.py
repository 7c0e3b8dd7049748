"""Hooks of the user's module: startup, shutdown and ready."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from askd.answerers.user_code.thread_pool import ThreadPool
from askd.errors import AnswererFailed, LoadError

HOOK_NAMES: Final = ("startup", "shutdown", "ready")

log = structlog.get_logger("askd.answerer")


class Hooks:
    """The hooks of one module.

    Args:
        members: The module's global names.
        hook_thread: The thread for synchronous hooks.
        module_name: The module's name in messages.

    Raises:
        LoadError: A hook has required parameters.
    """

    def __init__(self, members: Mapping[str, Any], hook_thread: ThreadPool, *, module_name: str) -> None:
        self._hook_thread = hook_thread
        self._hooks = {name: members[name] for name in HOOK_NAMES if _is_hook(members.get(name))}
        self._readiness_failed = False
        for name, hook in self._hooks.items():
            _check_hook_signature(hook, f"{module_name}:{name}")

    async def call(self, name: str) -> Any:
        """Call a hook and return its result, or None if the hook is missing.

        Exceptions propagate, but SystemExit and KeyboardInterrupt, which would end the server, become AnswererFailed.
        """
        hook = self._hooks.get(name)
        if hook is None:
            return None
        try:
            value = hook() if inspect.iscoroutinefunction(hook) else await self._hook_thread.run(hook)
            return await value if inspect.isawaitable(value) else value
        except (SystemExit, KeyboardInterrupt) as error:
            raise AnswererFailed from error

    async def ready(self) -> tuple[bool, str]:
        """Return the result of the `ready` hook and a reason. The first of several failures in a row is logged."""
        if "ready" not in self._hooks:
            return True, ""
        try:
            value = await self.call("ready")
        except Exception as error:
            if not self._readiness_failed:
                log.exception("ready_hook_failed")
            self._readiness_failed = True
            return False, f"the ready hook raised {type(error).__name__}"
        self._readiness_failed = False
        return _parse_readiness(value)


def _parse_readiness(value: Any) -> tuple[bool, str]:
    if isinstance(value, bool):
        return value, "" if value else "the ready hook returned False"
    if isinstance(value, tuple) and len(value) == 2:
        return bool(value[0]), str(value[1])
    return False, f"the ready hook returned {type(value).__name__}: return a bool, or (bool, reason)"


def _is_hook(value: object) -> bool:
    """Return whether the value is a function, not a class or a flag that happens to have a hook's name."""
    return callable(value) and not inspect.isclass(value)


def _check_hook_signature(hook: Callable[..., Any], name: str) -> None:
    try:
        inspect.signature(hook).bind()
    except TypeError:
        raise LoadError(f"{name} is a hook, which is called without arguments: remove them, or rename it") from None
    except ValueError:
        return  # a built-in function without an inspectable signature
