"""`Function`: a Python function as an answerer."""

import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Any, Final

from service.answerers import faults
from service.answerers.function import results, schemas, streams
from service.answerers.function.docstring import parsed
from service.answerers.function.parameters import bind
from service.answerers.function.signature import Signature, signature_of
from service.answerers.function.target import Target, target_of
from service.answerers.home import Home
from service.answerers.importing import Found
from service.answerers.refusals import Translated
from service.answerers.threads import Pool
from service.answerers.version import version_of
from service.errors import LoadError
from service.models import Answer, Answerer, Contract, Progress, Question, Statistics

_TRANSLATED: Final = Translated()


class Function(Answerer):
    """A function, method, partial, callable object or class of such, named as `package.module:attr` or `file.py:attr`.

    `threads` bounds the calls of synchronous code at once. `deterministic` None is what the code declares of itself.
    `home` None is a new one. Nothing is imported before `load`.
    """

    kind = "function"

    def __init__(self, spec: str, *, threads: int, deterministic: bool | None, home: Home | None = None) -> None:
        self.name = spec
        self._declared = deterministic
        self._pool = Pool(threads)
        self._home = home or Home(spec)

    async def load(self, progress: Progress) -> None:
        """Import the code in a thread, understand its signature, run its `startup`. Raises LoadError."""
        progress(f"importing {self.name}")
        found = await self._home.find()
        self._understand(found, await self._home.run(partial(_target, found)))
        await self._home.start()

    async def close(self) -> None:
        """Run `shutdown` where `startup` was done. Threads that are in a call are left to it."""
        await self._home.stop()
        self._pool.close()

    async def ready(self) -> tuple[bool, str]:
        """Return what the module's `ready` says, with its reason; yes where it has none, no before it is loaded."""
        return await self._home.ready()

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
        self.places = None if self._inline else self._pool.limit
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


def _target(found: Found) -> Target:
    """Make the object of a class: that runs the user's code, and so happens in a thread, as the import does."""
    try:
        return target_of(found.value, name=found.name)
    except LoadError:
        raise
    except BaseException as fault:  # SystemExit too
        raise LoadError(faults.call_failed(fault, what=found.name, root=found.root)) from fault
