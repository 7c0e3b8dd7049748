"""The user's module: its import, its hooks, and a fingerprint of its code.

Hooks are the optional functions `startup`, `shutdown` and `ready`. An async hook runs on the main event loop. A
synchronous hook runs in the thread that imported the module, always the same one: an object that one hook opens and
another closes may be bound to a thread (a sqlite3 connection, for example). Questions never wait for that thread.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

import structlog

from askd.answerers.user_code import exceptions
from askd.answerers.user_code.exceptions import is_user_file
from askd.answerers.user_code.importer import AcceptsQuestion, ResolvedTarget, resolve_target
from askd.answerers.user_code.thread_pool import ThreadPool
from askd.errors import AnswererFailed, LoadError

T = TypeVar("T")

_HOOK_NAMES: Final = ("startup", "shutdown", "ready")
_HEX_DIGITS: Final = 16

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
        self._hooks = {name: members[name] for name in _HOOK_NAMES if _is_hook(members.get(name))}
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


class UserModule:
    """The module that a spec names. Call `resolve`, then `start`, and `stop` at the end; nothing is imported before.

    Args:
        spec: The spec.
        accepts_question: Decides which functions of a file can answer if the spec names none.
    """

    def __init__(self, spec: str, accepts_question: AcceptsQuestion | None = None) -> None:
        self._resolve = partial(resolve_target, spec, *([accepts_question] if accepts_question else []))
        self._hook_thread = ThreadPool(1, name="askd-hooks")
        self._target: ResolvedTarget | None = None
        self._hooks: Hooks | None = None
        self._started = False

    async def resolve(self) -> ResolvedTarget:
        """Import the module if it is not imported yet, and return the object that the spec names. Raises LoadError."""
        if self._target is None:
            self._target = await self._hook_thread.run(self._resolve)
        return self._target

    async def run_in_thread(self, call: Callable[[], T]) -> T:
        """Run `call` in the thread that imported the module, and return its result."""
        return await self._hook_thread.run(call)

    async def start(self) -> None:
        """Run the `startup` hook. Raises LoadError."""
        target = await self.resolve()
        self._hooks = Hooks(vars(target.module), self._hook_thread, module_name=target.name.rpartition(":")[0])
        try:
            await self._hooks.call("startup")
        except Exception as error:
            cause = (isinstance(error, AnswererFailed) and error.__cause__) or error
            message = exceptions.call_error_message(cause, subject="The startup hook", root=target.root)
            raise LoadError(message) from error
        self._started = True

    async def stop(self) -> None:
        """Run the `shutdown` hook if `startup` succeeded, and end the thread."""
        if self._hooks is not None and self._started:
            self._started = False
            try:
                await self._hooks.call("shutdown")
            except Exception:
                log.exception("shutdown_hook_failed")
        self._hook_thread.close()

    async def ready(self) -> tuple[bool, str]:
        """Return the result of the `ready` hook and a reason; ready without a hook, not ready before `start`."""
        return await self._hooks.ready() if self._hooks and self._started else (False, "not loaded")


def code_fingerprint(module: ModuleType, root: Path) -> str:
    """Return a hash of the source files of `module` and of all imported modules below `root`.

    The hash is the same on every machine that has the same code: it does not depend on the location of the code, and it
    ignores installed packages and data files.
    """
    digest = hashlib.sha256()
    for name, file in sorted(_user_files(module, root)):
        content = hashlib.sha256(file.read_bytes()).digest()
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:_HEX_DIGITS]


def _user_files(module: ModuleType, root: Path) -> Iterator[tuple[str, Path]]:
    modules = {id(loaded): loaded for loaded in (module, *list(sys.modules.values()))}
    for loaded in modules.values():
        file = Path(getattr(loaded, "__file__", None) or "-")
        is_users = loaded is module or (is_user_file(str(file), root) and file.is_relative_to(root))
        if is_users and file.is_file():
            yield file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name, file
