"""The hooks of the user's module: when they run, where, and what their faults become."""

import asyncio

import pytest
import structlog

from service.answerers.function import Function
from service.errors import LoadError
from tests.answerers.function.user_code import Load, Write, names

ANSWER = "def answer(text): return text\nseen = []\n"


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_startup_and_shutdown(load: Load, prefix: str) -> None:
    """`startup` runs in load, `shutdown` in close, each once."""
    code = ANSWER + f"{prefix}def startup(): seen.append('up')\n{prefix}def shutdown(): seen.append('down')\n"
    function = await load(code)
    seen = names(function)["seen"]
    assert seen == ["up"]
    await function.close()
    await function.close()
    assert seen == ["up", "down"]


async def test_async_hooks_run_on_the_loop(load: Load) -> None:
    """An async hook may make what belongs to the loop that answers."""
    function = await load(
        ANSWER + "import asyncio\nasync def startup(): seen.append(asyncio.get_running_loop())\n",
    )
    assert names(function)["seen"] == [asyncio.get_running_loop()]


async def test_sync_hooks_share_one_thread(load: Load) -> None:
    """What a synchronous hook opens another may close: a connection of sqlite3 insists on its thread."""
    code = ANSWER + (
        "import sqlite3\n"
        "base = sqlite3.connect(':memory:')\n"
        "def startup(): base.execute('create table t (x)')\n"
        "def ready(): return base.execute('select count(*) from t').fetchone() == (0,)\n"
        "def shutdown(): base.close(); seen.append('closed')\n"
    )
    function = await load(code)
    assert await function.ready() == (True, "")
    await function.close()
    assert names(function)["seen"] == ["closed"]


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("kind", ["OSError('no model')", "SystemExit('no model')"])
async def test_startup_that_fails(write: Write, prefix: str, kind: str) -> None:
    """A fault in `startup` is a LoadError with the user's own line; `shutdown` does not follow."""
    write("main.py", ANSWER + f"{prefix}def startup():\n    raise {kind}\ndef shutdown(): seen.append('down')\n")
    function = Function("main.py:answer", threads=1, deterministic=None)
    with pytest.raises(LoadError) as caught:
        await function.load(lambda line: None)
    assert str(caught.value) == (
        f"The startup hook failed:\n  main.py:4: raise {kind}\n  {kind.partition('(')[0]}: no model"
    )
    assert await function.ready() == (False, "not loaded")
    await function.close()
    assert names(function)["seen"] == []


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_shutdown_that_fails(load: Load, prefix: str) -> None:
    """A fault in `shutdown` is logged, and does not keep the server from stopping."""
    function = await load(ANSWER + f"{prefix}def shutdown(): 1 / 0\n")
    with structlog.testing.capture_logs() as logs:
        await function.close()
    assert [each["event"] for each in logs] == ["the shutdown hook failed"]


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize(
    ("returned", "verdict"),
    [
        ("True", (True, "")),
        ("False", (False, "the ready hook says no")),
        ("(False, 'warming up')", (False, "warming up")),
        ("(True, 'warm')", (True, "warm")),
        ("None", (False, "the ready hook returned NoneType: return a bool, or (bool, reason)")),
    ],
)
async def test_ready(load: Load, prefix: str, returned: str, verdict: tuple[bool, str]) -> None:
    """`ready` returns a bool, or one with a reason; anything else is not ready and says why."""
    assert await (await load(ANSWER + f"{prefix}def ready(): return {returned}\n")).ready() == verdict


async def test_without_hooks(load: Load) -> None:
    """A module without hooks is ready once it is loaded."""
    assert await (await load(ANSWER)).ready() == (True, "")


async def test_ready_that_fails_is_logged_once(load: Load) -> None:
    """A `ready` that raises means no, without its text, and is logged when it begins, not every second."""
    function = await load(ANSWER + "def ready():\n    if not seen: raise OSError('secret')\n    return True\n")
    seen = names(function)["seen"]
    with structlog.testing.capture_logs() as logs:
        assert await function.ready() == (False, "the ready hook raised OSError")
        assert await function.ready() == (False, "the ready hook raised OSError")
        assert len(logs) == 1
        seen.append(1)
        assert await function.ready() == (True, "")
        seen.clear()
        await function.ready()
        assert len(logs) == 2


@pytest.mark.parametrize("name", ["startup", "shutdown", "ready"])
async def test_hook_with_arguments(load: Load, name: str) -> None:
    """A function of a hook's name that needs arguments is refused rather than left out in silence."""
    with pytest.raises(LoadError, match=f"main.py:{name} is a hook, which is called without arguments: remove them"):
        await load(ANSWER + f"def {name}(app): ...\n")


@pytest.mark.parametrize("line", ["ready = False", "ready = None", "class startup: ..."])
async def test_names_that_are_no_hooks(load: Load, line: str) -> None:
    """A flag or a class of a hook's name is the module's own."""
    assert await (await load(ANSWER + line)).ready() == (True, "")


async def test_close_without_load() -> None:
    """Close is safe where load never was, or failed at the import."""
    function = Function("main.py:answer", threads=1, deterministic=None)
    with pytest.raises(LoadError):
        await function.load(lambda line: None)
    await function.close()
    assert function.statistics().threads == 0
