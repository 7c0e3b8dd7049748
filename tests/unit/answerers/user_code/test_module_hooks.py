"""The hooks of the user's module: order, threads and exceptions."""

import asyncio

import pytest
import structlog

from askd.answerers.function import FunctionAnswerer
from askd.errors import LoadError
from tests.support.user_function_fixtures import LoadFunction, WriteFile, module_globals

ANSWER = "def answer(text): return text\nevents = []\n"


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_startup_and_shutdown(load: LoadFunction, prefix: str) -> None:
    """`startup` runs once in `load`, `shutdown` once in `close`."""
    code = ANSWER + f"{prefix}def startup(): events.append('up')\n{prefix}def shutdown(): events.append('down')\n"
    function = await load(code)
    events = module_globals(function)["events"]
    assert events == ["up"]
    await function.close()
    await function.close()
    assert events == ["up", "down"]


async def test_async_hooks_run_on_the_loop(load: LoadFunction) -> None:
    """An async hook runs on the event loop that answers."""
    function = await load(
        ANSWER + "import asyncio\nasync def startup(): events.append(asyncio.get_running_loop())\n",
    )
    assert module_globals(function)["events"] == [asyncio.get_running_loop()]


async def test_sync_hooks_share_one_thread(load: LoadFunction) -> None:
    """Synchronous hooks may share an object that is bound to a thread, such as a sqlite3 connection."""
    code = ANSWER + (
        "import sqlite3\n"
        "database = sqlite3.connect(':memory:')\n"
        "def startup(): database.execute('create table t (x)')\n"
        "def ready(): return database.execute('select count(*) from t').fetchone() == (0,)\n"
        "def shutdown(): database.close(); events.append('closed')\n"
    )
    function = await load(code)
    assert await function.ready() == (True, "")
    await function.close()
    assert module_globals(function)["events"] == ["closed"]


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("exception", ["OSError('no model')", "SystemExit('no model')"])
async def test_failing_startup(write: WriteFile, prefix: str, exception: str) -> None:
    """An exception in `startup` is a LoadError with the user's line, and `shutdown` does not run."""
    write("main.py", ANSWER + f"{prefix}def startup():\n    raise {exception}\ndef shutdown(): events.append('down')\n")
    function = FunctionAnswerer("main.py:answer", threads=1, deterministic=None)
    with pytest.raises(LoadError) as caught:
        await function.load(lambda line: None)
    assert str(caught.value) == (
        f"The startup hook failed:\n  main.py:4: raise {exception}\n  {exception.partition('(')[0]}: no model"
    )
    assert await function.ready() == (False, "not loaded")
    await function.close()
    assert module_globals(function)["events"] == []


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_failing_shutdown(load: LoadFunction, prefix: str) -> None:
    """An exception in `shutdown` is logged and does not prevent the server from stopping."""
    function = await load(ANSWER + f"{prefix}def shutdown(): 1 / 0\n")
    with structlog.testing.capture_logs() as logs:
        await function.close()
    assert [log["event"] for log in logs] == ["shutdown_hook_failed"]


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize(
    ("returned", "result"),
    [
        ("True", (True, "")),
        ("False", (False, "the ready hook returned False")),
        ("(False, 'warming up')", (False, "warming up")),
        ("(True, 'warm')", (True, "warm")),
        ("None", (False, "the ready hook returned NoneType: return a bool, or (bool, reason)")),
    ],
)
async def test_ready(load: LoadFunction, prefix: str, returned: str, result: tuple[bool, str]) -> None:
    """`ready` returns a bool or (bool, reason); any other value means not ready."""
    assert await (await load(ANSWER + f"{prefix}def ready(): return {returned}\n")).ready() == result


async def test_without_hooks(load: LoadFunction) -> None:
    """A module without hooks is ready after `load`."""
    assert await (await load(ANSWER)).ready() == (True, "")


async def test_failing_ready_is_logged_once(load: LoadFunction) -> None:
    """If `ready` raises, the module is not ready, and only the first exception in a row is logged."""
    function = await load(ANSWER + "def ready():\n    if not events: raise OSError('secret')\n    return True\n")
    events = module_globals(function)["events"]
    with structlog.testing.capture_logs() as logs:
        assert await function.ready() == (False, "the ready hook raised OSError")
        assert await function.ready() == (False, "the ready hook raised OSError")
        assert len(logs) == 1
        events.append(1)
        assert await function.ready() == (True, "")
        events.clear()
        await function.ready()
        assert len(logs) == 2


@pytest.mark.parametrize("name", ["startup", "shutdown", "ready"])
async def test_hook_with_arguments(load: LoadFunction, name: str) -> None:
    """A hook with required parameters is a LoadError."""
    with pytest.raises(LoadError, match=f"main.py:{name} is a hook, which is called without arguments: remove them"):
        await load(ANSWER + f"def {name}(app): ...\n")


@pytest.mark.parametrize("line", ["ready = False", "ready = None", "class startup: ..."])
async def test_other_objects_with_the_name_of_a_hook(load: LoadFunction, line: str) -> None:
    """A flag or a class with the name of a hook is ignored."""
    assert await (await load(ANSWER + line)).ready() == (True, "")


async def test_close_without_load() -> None:
    """Close works if `load` failed at the import."""
    function = FunctionAnswerer("main.py:answer", threads=1, deterministic=None)
    with pytest.raises(LoadError):
        await function.load(lambda line: None)
    await function.close()
    assert function.statistics().threads == 0
