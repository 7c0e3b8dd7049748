"""All kinds of callables answer in the same way."""

import pytest

from askd.errors import LoadError
from askd.models import Answer, Question
from tests.support.user_function_fixtures import AskFunction, LoadFunction, module_globals

CALLABLES = {
    "function": "def answer(text): return text.upper()",
    "async function": "async def answer(text): return text.upper()",
    "positional-only": "def answer(text, /): return text.upper()",
    "keyword-only": "def answer(*, text): return text.upper()",
    "variadic": "def answer(*texts): return texts[0].upper()",
    "lambda": "answer = lambda text: text.upper()",
    "built-in": "answer = str.upper",
    "partial": """
        import functools
        def say(text, mark): return text.upper() + mark
        answer = functools.partial(say, mark="")
    """,
    "partial of a partial of an async function": """
        import functools
        async def say(first, text, *, mark): return text.upper() + mark
        answer = functools.partial(functools.partial(say, "x"), mark="")
    """,
    "bound method": """
        class Code:
            def say(self, text): return text.upper()
        answer = Code().say
    """,
    "static method": """
        class Code:
            @staticmethod
            def say(text): return text.upper()
        answer = Code.say
    """,
    "callable object": """
        class Code:
            def __call__(self, text): return text.upper()
        answer = Code()
    """,
    "async callable object": """
        class Code:
            async def __call__(self, text): return text.upper()
        answer = Code()
    """,
    "class of callable objects": """
        class answer:
            def __call__(self, text): return text.upper()
    """,
    "sync wrapper of an async function": """
        import functools
        async def inner(text): return text.upper()
        @functools.wraps(inner)
        def answer(text): return inner(text)
    """,
    "generator": """
        def answer(text):
            for letter in text: yield letter.upper()
    """,
    "async generator": """
        async def answer(text):
            for letter in text: yield letter.upper()
    """,
    "function that returns a generator": "def answer(text): return (letter.upper() for letter in text)",
    "function that returns an async generator": """
        async def letters(text):
            for letter in text: yield letter.upper()
        def answer(text): return letters(text)
    """,
    "iterator without aclose": """
        class Letters:
            def __init__(self, text): self.left = list(text)
            def __aiter__(self): return self
            async def __anext__(self):
                if not self.left: raise StopAsyncIteration
                return self.left.pop(0).upper()
        answer = Letters
        def answer(text): return Letters(text)
    """,
}


@pytest.mark.parametrize("code", CALLABLES.values(), ids=CALLABLES.keys())
async def test_callable_answers(load: LoadFunction, ask: AskFunction, code: str) -> None:
    """Every kind of callable answers."""
    assert await ask(await load(code), "hi") == Answer("HI")


@pytest.mark.parametrize("code", CALLABLES.values(), ids=CALLABLES.keys())
async def test_callable_streams(load: LoadFunction, code: str) -> None:
    """The stream of every kind of callable is deltas, which join to the text, then one answer."""
    function = await load(code)
    *deltas, answer = [item async for item in function.stream(Question(text="hi"))]
    assert answer == Answer("HI")
    assert "".join(map(str, deltas)) == "HI"


async def test_method_of_object(load: LoadFunction, ask: AskFunction) -> None:
    """A dotted name may refer to an attribute of an object in the module."""
    code = """
        class Code:
            def say(self, text): return text + "!"
        code = Code()
    """
    assert await ask(await load(code, "code.say"), "hi") == Answer("hi!")


async def test_class_is_instantiated_once(load: LoadFunction, ask: AskFunction) -> None:
    """A class is instantiated once at load, not for each question."""
    code = """
        class answer:
            instances = 0
            def __init__(self): type(self).instances += 1
            def __call__(self, text): return str(self.instances)
    """
    function = await load(code)
    assert [await ask(function) for _ in range(3)] == [Answer("1")] * 3


INVALID = {
    "a str": ("answer = 'hi'", "main.py:answer is a str, which cannot be called"),
    "an int": ("answer = 5", "main.py:answer is an int"),
    "a module": ("import json as answer", "is a module"),
    "no argument": ("def answer(): return 'hi'", "main.py:answer takes no argument"),
    "keywords alone": ("def answer(**rest): return 'hi'", "takes no argument"),
    "own class": (
        "def answer(data: Exception): return 'hi'",
        "the first parameter gets the question, but `data` is Exception: make it `data: str`",
    ),
    "web application": (
        "class App:\n    async def __call__(self, scope, receive, send): ...\nanswer = App()",
        "main.py:answer is a web application, not a function: name the function in it",
    ),
    "class without call": ("class answer: ...", "a class whose instances cannot be called"),
    "class with arguments": (
        "class answer:\n    def __init__(self, model): ...\n    def __call__(self, text): return text",
        "a class whose constructor requires model",
    ),
    "class that fails": (
        "class answer:\n    def __init__(self): raise OSError('no model')\n    def __call__(self, text): return text",
        "main.py:answer failed:\n  main.py:2: def __init__(self): raise OSError('no model')\n  OSError: no model",
    ),
}


@pytest.mark.parametrize(("code", "message"), INVALID.values(), ids=INVALID.keys())
async def test_load_errors(load: LoadFunction, code: str, message: str) -> None:
    """An object that cannot be called with a text is a LoadError with its name and the reason."""
    with pytest.raises(LoadError) as caught:
        await load(code)
    assert message in str(caught.value)
    assert "askd/" not in str(caught.value)


async def test_class_without_callable_instances(load: LoadFunction, ask: AskFunction) -> None:
    """The question is passed to the constructor of a class whose objects cannot answer."""
    assert await ask(await load("from decimal import Decimal as answer"), "1.50") == Answer("1.50")


HOOKS = """
    calls = []
    class answer:
        def __init__(self): calls.append("init")
        {prefix}def __{a}enter__(self): calls.append("enter")
        {prefix}def __{a}exit__(self, *error): calls.append(f"exit {{error}}")
        {prefix}def setup(self, device): calls.append(f"setup {{device}}")
        {prefix}def startup(self): calls.append("startup")
        {prefix}def shutdown(self): calls.append("shutdown")
        {prefix}def {a}close(self): calls.append("close")
        def predict(self, text): return " ".join(calls)
"""


@pytest.mark.parametrize(("prefix", "a"), [("", ""), ("async ", "a")])
async def test_methods_of_a_class(load: LoadFunction, ask: AskFunction, prefix: str, a: str) -> None:
    """The set-up methods of a class are called before the first question, its clean-up methods at the end."""
    function = await load(HOOKS.format(prefix=prefix, a=a))
    assert (await ask(function)).text == "init enter setup cpu startup"
    await function.close()
    calls = module_globals(function)["calls"]
    assert calls[4:] == ["shutdown", "close", "exit (None, None, None)"]


async def test_methods_of_an_object(load: LoadFunction, ask: AskFunction) -> None:
    """An object that the module creates is the module's own: its methods are not called."""
    code = "class Code:\n    def setup(self): 1 / 0\n    def answer(self, text): return text\nanswer = Code()"
    assert await ask(await load(code), "hi") == Answer("hi")


async def test_setup_fails(load: LoadFunction) -> None:
    """An error in a set-up method ends the start with the user's line."""
    code = "class answer:\n    def setup(self): 1 / 0\n    def __call__(self, text): return text"
    with pytest.raises(
        LoadError, match=r"main.py:answer failed:\n  main.py:2: def setup\(self\): 1 / 0\n  ZeroDivision"
    ):
        await load(code)
