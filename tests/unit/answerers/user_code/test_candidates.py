"""The objects of a file that can answer: which count, and which is served if there are several."""

import pytest

from askd.answerers.function import accepts_question
from askd.answerers.user_code.importer import resolve_target
from tests.support.user_function_fixtures import WriteFile, error_message


@pytest.mark.parametrize(
    "code",
    [
        "def answer(text): return text",
        "import json, functools\nfrom os.path import join\ndef _helper(): ...\ndef answer(text): return join(text)",
        "class Base: ...\nclass Code:\n    def __call__(self, text): return text\ndel Base",
        "def startup(): ...\ndef shutdown(): ...\ndef ready(): return True\nanswer = lambda text: text",
        "import functools\nanswer = functools.partial(lambda mark, text: text, '!')",
    ],
)
def test_file_with_one_candidate(write: WriteFile, code: str) -> None:
    """A file needs no name if one object can answer; imports, hooks and private names do not count."""
    write("main.py", code)
    assert callable(resolve_target("main.py").value)


HELPERS = {
    "named answer": "def helper(text): ...\ndef answer(text): return 'right'",
    "named like the file": "def helper(text): ...\ndef main(text): return 'right'",
    "class named like the file": (
        "class Main:\n    def __call__(self, text): return 'right'\ndef helper(text): return 'wrong'"
    ),
    "the others take no question": (
        "import logging\n"
        "def now(): ...\n"
        "def log(logger: logging.Logger, text): ...\n"
        "def options(**more): ...\n"
        "def ask(text): return 'right'"
    ),
    "decorators": (
        "import functools, typing\n"
        "def retry(func):\n"
        "    @functools.wraps(func)\n"
        "    def call(*args): return func(*args)\n"
        "    return call\n"
        "def cached(f: typing.Callable): return f\n"
        "@retry\n@cached\n"
        "def ask(text): return 'right'"
    ),
    "objects that raise": (
        "class Proxy:\n"
        "    def __getattr__(self, name): raise RuntimeError('outside of a request')\n"
        "    def __call__(self, text): ...\n"
        "request = Proxy()\ndel Proxy\n"
        "def ask(text): return 'right'"
    ),
}


@pytest.mark.parametrize("code", HELPERS.values(), ids=HELPERS.keys())
def test_helpers_do_not_count(write: WriteFile, code: str) -> None:
    """A function named `answer` or like the file wins; decorators and functions that take no question do not count."""
    write("main.py", code)
    value = resolve_target("main.py", accepts_question).value
    assert (value() if isinstance(value, type) else value)("hi") == "right"


NAMED_OBJECTS = {
    "named answer": "answer = Module()",
    "named like the file": "main = Module()",
    "not callable": "answer = Engine()",
    "beside a helper": "main = Module()\ndef helper(text): return 'wrong'",
    "beside something else": "answer = 'none'\nmain = Module()",
    "beside a web application": "from lib import Flask\nmain = Module()\napp = Flask()\ndef not_found(e): ...",
}
OBJECT_LIBRARY = """
    class Module:
        def __call__(self, text): return "right"
    class Engine:
        def answer(self, text): return "right"
    class Flask:
        def __call__(self, environ, start_response): ...
    Flask.__module__ = "flask.app"
"""


@pytest.mark.parametrize("code", NAMED_OBJECTS.values(), ids=NAMED_OBJECTS.keys())
def test_named_object(write: WriteFile, code: str) -> None:
    """An object of another module's class is found if it is named `answer` or like the file."""
    write("lib.py", OBJECT_LIBRARY)
    write("main.py", f"from lib import Engine, Module\nmodel = Module()\n{code}")
    value = resolve_target("main.py", accepts_question).value
    assert (value if callable(value) else value.answer)("hi") == "right"


@pytest.mark.parametrize("code", ["Answer = list[str]", "answer = 5", "from json import dumps as answer"])
def test_other_objects_named_answer(write: WriteFile, code: str) -> None:
    """Type aliases, data and imported functions are not taken for the object that answers."""
    write("main.py", f"{code}\ndef ask(text): return 'right'")
    assert resolve_target("main.py", accepts_question).value("hi") == "right"


WEB_APPS = {
    "error handler": "def not_found(e): ...",
    "several handlers": "def item(id): ...\ndef not_found(e): ...",
    "handlers without arguments": "def index(): ...",
    "nothing else": "",
}


@pytest.mark.parametrize("code", WEB_APPS.values(), ids=WEB_APPS.keys())
def test_web_application(write: WriteFile, code: str) -> None:
    """The handlers of a web application are not served unless they are named."""
    write("lib.py", OBJECT_LIBRARY)
    write("app.py", f"from lib import Flask\napp = Flask()\n{code}")
    assert error_message("app.py") == (
        "app.py is a web application, `app`, which an ASGI or WSGI server serves: to serve one of its functions with "
        "askd, name it, as in app.py:FUNCTION"
    )


@pytest.mark.parametrize("name", ["answer", "main", "app_file", "ApP_FiLe"])
def test_function_beside_a_web_application(write: WriteFile, name: str) -> None:
    """A function with one of the usual names is served although there is a web application."""
    write("lib.py", OBJECT_LIBRARY)
    write("app_file.py", f"from lib import Flask\napp = Flask()\ndef {name}(text): return 'right'")
    assert resolve_target("app_file.py", accepts_question).value("hi") == "right"


def test_file_with_several_candidates(write: WriteFile) -> None:
    """If several objects can answer, the error lists their specs and what they take."""
    write("main.py", "def ask(text, lang): ...\ndef reply(text): ...\ndef now(): ...")
    choices = "main.py:ask(text, lang), main.py:reply(text), or serve all with main.py:*"
    assert error_message("main.py") == f"main.py has 2 objects that can answer: choose one of {choices}"


def test_file_without_candidate(write: WriteFile) -> None:
    """If no object can answer, the error shows a function to write."""
    write("main.py", "class Data: ...\nx = 5")
    assert error_message("main.py") == "no function in main.py can answer: write `def answer(text: str) -> str`"
