"""FunctionAnswerer: serves a Python function or another callable."""

import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import structlog

from askd.answerers.function import iteration, results, type_hints
from askd.answerers.function.callables import UserCallable, create_user_callable
from askd.answerers.function.docstrings import parse_docstring
from askd.answerers.function.instance_hooks import InstanceHooks
from askd.answerers.function.parameters import ParameterParser
from askd.answerers.function.signature import QuestionSignature, analyze_signature
from askd.answerers.user_code import exceptions
from askd.answerers.user_code.importer import ResolvedTarget
from askd.answerers.user_code.thread_pool import ThreadPool
from askd.answerers.user_code.user_module import UserModule, code_fingerprint
from askd.errors import AnswererFailed, LoadError
from askd.models import Answer, Answerer, AnswererStatistics, Contract, ProgressCallback, Question

_DECORATED_NAMES: Final = frozenset({"func", "fn", "function", "wrapped"})
"""Usual names of the parameter of a decorator."""
log = structlog.get_logger("askd.answerer")


class FunctionAnswerer(Answerer):
    """A function, method, partial, callable object, or class of callable objects.

    Nothing is imported before `load`.

    Args:
        spec: `package.module:attr` or `file.py:attr`.
        threads: Maximum number of concurrent calls of synchronous code.
        deterministic: Whether answers may be cached; None uses the declaration in the code.
        user_module: The module, if it is already resolved; None creates one.
    """

    kind = "function"

    def __init__(
        self, spec: str, *, threads: int, deterministic: bool | None, user_module: UserModule | None = None
    ) -> None:
        self.name = spec
        self._deterministic_override = deterministic
        self._pool = ThreadPool(threads)
        self._user_module = user_module or UserModule(spec, accepts_question)
        self._instance_hooks: InstanceHooks | None = None

    async def load(self, progress: ProgressCallback) -> None:
        """Import the code in a thread, analyze its signature, and run the `startup` hook. Raises LoadError."""
        progress(f"importing {self.name}")
        target = await self._user_module.resolve()
        function = await self._user_module.run_in_thread(partial(_create_user_callable, target))
        self._inspect(target, function)
        await self._user_module.start()
        self._instance_hooks = InstanceHooks(function.instance, self._user_module.run_in_thread)
        try:
            await self._instance_hooks.start()
        except Exception as error:
            cause = (isinstance(error, AnswererFailed) and error.__cause__) or error
            message = exceptions.call_error_message(cause, subject=target.name, root=target.root)
            raise LoadError(message) from error

    async def close(self) -> None:
        """Run the clean-up methods and the `shutdown` hook, and close the thread pool without waiting for its calls."""
        if self._instance_hooks is not None:
            try:
                await self._instance_hooks.stop()
            except Exception:
                log.exception("shutdown_hook_failed")
        await self._user_module.stop()
        self._pool.close()

    async def ready(self) -> tuple[bool, str]:
        """Return the result of the module's `ready` hook; not ready before `load`."""
        return await self._user_module.ready()

    def parse_parameters(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        """Validate the parameters and add defaults. Raises BadQuestion."""
        return self.parameter_parser.parse(values, from_strings=from_strings)

    def notes(self) -> Sequence[str]:
        """Return remarks about how the function is called."""
        return self._signature.notes

    async def answer(self, question: Question) -> Answer:
        """Call the code and return its answer; the items of a generator are joined.

        Raises:
            NoAnswer: The code returned None, or its generator yielded nothing.
            Refused: The code raised an HTTP exception with a 4xx status.
            Exception: Any other exception of the code.
        """
        try:
            value = await self._call_function(question)
            if type(value) is str or not iteration.is_iterator(value):
                return results.to_answer(value)
            builder = results.AnswerBuilder()
            for item in await iteration.collect(self._pool, value):
                builder.add(item)
            return builder.build()
        except BaseException as error:
            exceptions.raise_as_problem(error)
            raise

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the items of a generator as deltas, then the answer; other code yields its whole text once."""
        try:
            value = await self._call_function(question)
            if not iteration.is_iterator(value):
                answer = results.to_answer(value)
                yield answer.text
                yield answer
                return
            builder = results.AnswerBuilder()
            async with contextlib.aclosing(iteration.iterate(self._pool, value)) as items:
                async for item in items:
                    if delta := builder.add(item):
                        yield delta
            yield builder.build()
        except BaseException as error:
            exceptions.raise_as_problem(error)
            raise

    def statistics(self) -> AnswererStatistics:
        """Return the counts of the thread pool."""
        return AnswererStatistics(
            threads=self._pool.threads, busy_threads=self._pool.busy_threads, queued_calls=self._pool.queued_calls
        )

    @property
    def abandoned_calls(self) -> int:
        """Calls of synchronous code that still run although their requests have ended."""
        return self._pool.abandoned_calls

    async def _call_function(self, question: Question) -> Any:
        """Call the function; a coroutine that synchronous code returned is awaited on the event loop."""
        call = self._signature.bind(self._function, question)
        if not self._runs_on_loop:
            value = await self._pool.run(call)
            return await value if type(value) is not str and inspect.isawaitable(value) else value
        value = call()
        return await value if inspect.isawaitable(value) else value

    def _inspect(self, target: ResolvedTarget, function: UserCallable) -> None:
        docstring = parse_docstring(function.doc)
        self._function: Callable[..., Any] = function.call
        self._signature: QuestionSignature = analyze_signature(function, docstring, name=target.name)
        self.parameter_parser: ParameterParser = self._signature.parameter_parser
        self._runs_on_loop = function.is_async or function.is_generator
        self.max_concurrency = None if self._runs_on_loop else self._pool.max_threads
        self.supports_streaming = function.is_generator or type_hints.is_stream_type(self._signature.return_annotation)
        self.deterministic = self._is_deterministic(function, target.name)
        if self.deterministic:
            self.version = function.version or code_fingerprint(target.module, target.root)
        self.contract = Contract(
            summary=docstring.summary or Contract().summary,
            description=docstring.description,
            question=self._signature.question_form,
            parameters=self._signature.contract_entries,
            allows_unknown_parameters=self._signature.has_keywords or self._signature.takes_mapping,
            answer_schema=type_hints.answer_schema(self._signature.return_annotation),
        )

    def _is_deterministic(self, function: UserCallable, name: str) -> bool:
        override = self._deterministic_override
        deterministic = function.deterministic if override is None else override
        if deterministic and self._signature.takes_question:
            raise LoadError(
                f"{name} cannot be deterministic: it takes the Question, whose id and client differ for each request. "
                f"Take only the text, or remove the declaration"
            )
        return deterministic


def accepts_question(value: object) -> bool:
    """Return whether a question can be passed to a callable. A decorator takes a function instead."""
    try:
        function = create_user_callable(value, name="")
        signature = analyze_signature(function, parse_docstring(""), name="")
    except Exception:  # LoadError, or a proxy such as flask.request, which raises outside of a request
        return False
    return signature.name not in _DECORATED_NAMES


def _create_user_callable(target: ResolvedTarget) -> UserCallable:
    """Run in a thread, like the import, because a class's constructor is the user's code."""
    try:
        return create_user_callable(target.value, name=target.name)
    except LoadError:
        raise
    except BaseException as error:  # SystemExit too
        raise LoadError(exceptions.call_error_message(error, subject=target.name, root=target.root)) from error
