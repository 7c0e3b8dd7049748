"""The user's module: its import, its hooks, and a fingerprint of its code.

Hooks are the optional functions `startup`, `shutdown` and `ready`. An async hook runs on the main event loop. A
synchronous hook runs in the thread that imported the module, always the same one: an object that one hook opens and
another closes may be bound to a thread (a sqlite3 connection, for example). Questions never wait for that thread.
"""

import contextvars
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import structlog

from askd.answerers.user_code import exceptions
from askd.answerers.user_code.candidates import AcceptsQuestion, accepts_anything
from askd.answerers.user_code.exceptions import is_user_file
from askd.answerers.user_code.hooks import Hooks
from askd.answerers.user_code.importer import (
    ModuleAnswerers,
    ResolvedTarget,
    list_answerers,
    resolve_target,
    split_spec,
)
from askd.answerers.user_code.thread_pool import ThreadPool
from askd.errors import AnswererFailed, LoadError

T = TypeVar("T")

_HEX_DIGITS: Final = 16

log = structlog.get_logger("askd.answerer")


class _SharedModule:
    """What the answerers in one module share: its hooks, and the thread that imports it and runs synchronous hooks."""

    def __init__(self) -> None:
        self.thread = ThreadPool(1, name="askd-hooks")
        self.hooks: Hooks | None = None
        self.user_count = 0
        """UserModules that have not been stopped."""
        self.started_count = 0
        """UserModules that have been started; the first runs `startup`, the last runs `shutdown`."""


_shared_modules: Final[WeakValueDictionary[str, _SharedModule]] = WeakValueDictionary()
"""Shared state by the path of the file or the name of the module, for the whole process, as `sys.modules` is."""


class UserModule:
    """The module that a spec names. Call `resolve`, then `start`, and `stop` at the end; nothing is imported before.

    Several may name objects in the same module: its hooks run once. They must be started one after another.

    Args:
        spec: The spec.
        accepts_question: Decides which functions of a file can answer if the spec names none.
    """

    def __init__(self, spec: str, accepts_question: AcceptsQuestion = accepts_anything) -> None:
        self._spec, self._accepts_question = spec, accepts_question
        location = split_spec(spec)[0]
        self._location = str(Path(location).absolute()) if location.endswith(".py") else location
        self._shared = _shared_modules.setdefault(self._location, _SharedModule())
        self._shared.user_count += 1
        self._target: ResolvedTarget | None = None
        self._started = self._stopped = False

    async def resolve(self) -> ResolvedTarget:
        """Import the module if it is not imported yet, and return the object that the spec names. Raises LoadError."""
        if self._target is None:
            self._target = await self._shared.thread.run(partial(resolve_target, self._spec, self._accepts_question))
        return self._target

    def list_answerers(self) -> ModuleAnswerers:
        """Import the module and return the names of the objects in it that can answer. Blocks; raises LoadError."""
        call = partial(list_answerers, split_spec(self._spec)[0], self._accepts_question)
        return self._shared.thread.submit(call, context=contextvars.copy_context()).result()

    async def run_in_thread(self, call: Callable[[], T]) -> T:
        """Run `call` in the thread that imported the module, and return its result."""
        return await self._shared.thread.run(call)

    async def start(self) -> None:
        """Run the `startup` hook, unless it ran for another object of the module. Raises LoadError."""
        target, shared = await self.resolve(), self._shared
        if not shared.started_count:
            shared.hooks = Hooks(vars(target.module), shared.thread, module_name=target.name.rpartition(":")[0])
            try:
                await shared.hooks.call("startup")
            except Exception as error:
                cause = (isinstance(error, AnswererFailed) and error.__cause__) or error
                message = exceptions.call_error_message(cause, subject="The startup hook", root=target.root)
                raise LoadError(message) from error
        shared.started_count += 1
        self._started = True

    async def stop(self) -> None:
        """Run the `shutdown` hook and end the thread, unless another object of the module is in use."""
        shared = self._shared
        if self._started:
            self._started = False
            shared.started_count -= 1
            if not shared.started_count and shared.hooks is not None:
                try:
                    await shared.hooks.call("shutdown")
                except Exception:
                    log.exception("shutdown_hook_failed")
        self.release()

    def release(self) -> None:
        """End the thread, unless another object of the module is in use. `stop` includes it."""
        if self._stopped:
            return
        self._stopped = True
        self._shared.user_count -= 1
        if not self._shared.user_count:
            self._shared.thread.close()
            if _shared_modules.get(self._location) is self._shared:
                del _shared_modules[self._location]

    async def ready(self) -> tuple[bool, str]:
        """Return the result of the `ready` hook and a reason; ready without a hook, not ready before `start`."""
        hooks = self._shared.hooks
        return await hooks.ready() if hooks is not None and self._started else (False, "not loaded")


def loaded_code_folders() -> list[str]:
    """Return the folders of the user's modules, without askd, the standard library and installed packages."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    folders = {os.path.dirname(file) for file in files if isinstance(file, str)}  # noqa: PTH120 - faster, for a thousand modules
    working_directory = Path.cwd()
    return sorted(folder for folder in folders if is_user_file(f"{folder}{os.sep}", working_directory))


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
    prefix = f"{root}{os.sep}"
    for loaded in modules.values():
        name = str(getattr(loaded, "__file__", None) or "-")
        # The comparison of strings comes first, because that of paths takes 0.3 ms, and there may be thousands.
        if loaded is module or (name.startswith(prefix) and is_user_file(name, root)):
            file = Path(name)
            if file.is_file():
                yield file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name, file
