"""The home of the user's code: its module, imported, and the hooks in it, run in one thread aside."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog

from service.answerers import faults
from service.answerers.hooks import Hooks
from service.answerers.importing import Found, find
from service.answerers.threads import Pool
from service.errors import AnswererFailed, LoadError

T = TypeVar("T")

log = structlog.get_logger("askd.answerer")


class Home:
    """The module that a spec names. `find` comes first, then `start`, at the end `stop`; nothing is imported before.

    The thread aside never waits for questions, nor they for it.
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._aside = Pool(1, name="askd-aside")
        self._found: Found | None = None
        self._hooks: Hooks | None = None
        self._started = False

    async def find(self) -> Found:
        """Import the module, once, and return what the spec names in it. Raises LoadError."""
        if self._found is None:
            self._found = await self._aside.run(partial(find, self._spec))
        return self._found

    async def run(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, made in the thread that imported the module. Raises what it raises."""
        return await self._aside.run(call)

    async def start(self) -> None:
        """Run the hook `startup`. Raises LoadError."""
        found = await self.find()
        self._hooks = Hooks(vars(found.module), self._aside, place=found.name.rpartition(":")[0])
        try:
            await self._hooks.call("startup")
        except Exception as fault:
            cause = (isinstance(fault, AnswererFailed) and fault.__cause__) or fault
            raise LoadError(faults.call_failed(cause, what="The startup hook", root=found.root)) from fault
        self._started = True

    async def stop(self) -> None:
        """Run the hook `shutdown` where `startup` was done, and end the thread."""
        if self._hooks is not None and self._started:
            self._started = False
            try:
                await self._hooks.call("shutdown")
            except Exception:
                log.exception("the shutdown hook failed")
        self._aside.close()

    async def ready(self) -> tuple[bool, str]:
        """Return what the hook `ready` says, with its reason; yes where there is none, no before `start`."""
        return await self._hooks.ready() if self._hooks and self._started else (False, "not loaded")
