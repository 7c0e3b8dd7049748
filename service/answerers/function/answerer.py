"""`Function`: a Python function as an answerer."""

import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Any, Final

import structlog

from service.answerers.function import faults, results, schemas, streams
from service.answerers.function.docstring import parsed
from service.answerers.function.hooks import Hooks
from service.answerers.function.importing import Found, find
from service.answerers.function.parameters import bind
from service.answerers.function.refusals import Translated
from service.answerers.function.signature import Signature, signature_of
from service.answerers.function.target import Target, target_of
from service.answerers.function.version import version_of
from service.answerers.threads import Pool
from service.errors import AnswererFailed, LoadError
from service.models import Answer, Answerer, Contract, Progress, Question, Statistics

log = structlog.get_logger("askd.answerer")

_TRANSLATED: Final = Translated()


class Function(Answerer):
    """A function, method, partial, callable object or class of such, named as `package.module:attr` or `file.py:attr`.

    `threads` bounds the calls of synchronous code at once. `deterministic` None is what the code declares of itself.
    Nothing is imported before `load`.
    """

    kind = "function"

    def __init__(self, spec: str, *, threads: int, deterministic: bool | None) -> None:
        self.name = spec
        self._declared = deterministic
        self._pool = Pool(threads)
        self._aside = Pool(1, name="askd-aside")
        """For the import and the hooks: never waits for questions, nor they for it."""
        self._hooks: Hooks | None = None
        self._started = False

    async def load(self, progress: Progress) -> None:
        """Import the code in a thread, understand its signature, run its `startup`. Raises LoadError."""
        progress(f"importing {self.name}")
        found, target = await self._aside.run(partial(_found, self.name))
        self._understand(found, target)
        self._hooks = Hooks(vars(found.module), self._aside, place=found.name.rpartition(":")[0])
        try:
            await self._hooks.call("startup")
        except Exception as fault:
            cause = (isinstance(fault, AnswererFailed) and fault.__cause__) or fault
            raise LoadError(faults.call_failed(cause, what="The startup hook", root=found.root)) from fault
        self._started = True

    async def close(self) -> None:
        """Run `shutdown` where `startup` was done. Threads that are in a call are left to it."""
        if self._hooks is not None and self._started:
            self._started = False
            try:
                await self._hooks.call("shutdown")
            except Exception:
                log.exception("the shutdown hook failed")
        self._pool.close()
        self._aside.close()

    async def ready(self) -> tuple[bool, str]:
        """Return what the module's `ready` says, with its reason; yes where it has none, no before it is loaded."""
        return await self._hooks.ready() if self._hooks and self._started else (False, "not loaded")

    def bind(self, given: Mapping[str, Any], *, textual: bool) -> Mapping[str, Any]:
        """Validate the parameters beside the text, and fill in their defaults. Raises BadQuestion."""
        return bind(self._signature.beside, given, textual=textual) if self._signature.beside else {}

    async def answer(self, question: Question) -> Answer:
        """Call the code; what a generator yields is joined. Raises NoAnswer, Refused, or what the code raises."""
        with _TRANSLATED:
            value = await self._value(question)
            if type(value) is str or not streams.is_stream(value):
                return results.answer_of(value)
            whole = results.Whole()
            for item in await streams.all_items(self._pool, value):
                whole.take(item)
            return whole.answer()

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the deltas of a generator as they come, then the whole; of other code, all of it at once."""
        with _TRANSLATED:
            value = await self._value(question)
            whole = results.Whole()
            if not streams.is_stream(value):
                answer = results.answer_of(value)
                yield answer.text
                yield answer
                return
            async with contextlib.aclosing(streams.items(self._pool, value)) as items:
                async for item in items:
                    if delta := whole.take(item):
                        yield delta
            yield whole.answer()

    def statistics(self) -> Statistics:
        """Return the counts of the pool for synchronous code."""
        return Statistics(threads=self._pool.threads, busy=self._pool.busy, queued=self._pool.queued)

    @property
    def abandoned(self) -> int:
        """Calls of synchronous code that go on although nobody waits for them any more."""
        return self._pool.abandoned

    async def _value(self, question: Question) -> Any:
        """Return what the call returns; a coroutine that synchronous code made is awaited on the loop."""
        call = self._signature.bound(self._call, question)
        if not self._inline:
            value = await self._pool.run(call)
            return await value if type(value) is not str and inspect.isawaitable(value) else value
        value = call()
        return await value if inspect.isawaitable(value) else value

    def _understand(self, found: Found, target: Target) -> None:
        doc = parsed(target.doc)
        self._call: Callable[..., Any] = target.call
        self._signature: Signature = signature_of(target, doc, name=found.name)
        self._inline = target.is_async or target.is_generator
        self.streams = target.is_generator or schemas.is_stream(self._signature.returns)
        self.deterministic = self._is_deterministic(target, found.name)
        self.version = target.version or version_of(found.module, found.root) if self.deterministic else ""
        self.contract = Contract(
            summary=doc.summary or Contract().summary,
            description=doc.description,
            parameters=[each.shown for each in self._signature.beside],
            answer_schema=schemas.answer_schema(self._signature.returns, name=found.name),
        )

    def _is_deterministic(self, target: Target, name: str) -> bool:
        declared = target.deterministic if self._declared is None else self._declared
        if declared and self._signature.takes_question:
            raise LoadError(
                f"{name} takes the Question, whose id and client differ each time, and so cannot be deterministic: "
                f"take the text alone, or drop the declaration"
            )
        return declared


def _found(spec: str) -> tuple[Found, Target]:
    """Import and, for a class, make its object: both run the user's code, and so in a thread."""
    found = find(spec)
    try:
        return found, target_of(found.value, name=found.name)
    except LoadError:
        raise
    except BaseException as fault:  # SystemExit too
        raise LoadError(faults.call_failed(fault, what=found.name, root=found.root)) from fault
