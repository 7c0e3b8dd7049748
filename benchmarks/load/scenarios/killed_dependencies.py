"""What askd leans on is killed during load: Redis, a LangGraph server, another askd."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from tests.figures.numbers import Sample, counted
from tests.figures.polling import poll
from tests.figures.report import Section, ms
from tests.figures.run import Run
from tests.figures.server import SERVED, Askd
from tests.process.killed import Server, fake
from tests.process.test_langgraph_dev import AWAY, EXAMPLE, command

from .redis import Redis

CONNECTIONS: Final = 8
BACK: Final = 30.0
"""Seconds within which answers must come again."""
GATEWAY: Final = ("200", "502", "503")
"""What askd may say while a server behind it is gone: never as if askd itself had failed."""
Act = Callable[[], Awaitable[None]]


async def measure(run: Run) -> Section:
    """One after the other; what is not installed is left out, and said so."""
    head = ("killed", "phase", "a second", "p50", "p99", "outcomes")
    section = Section(title="Killed with `kill -9` during load", head=head)
    await _redis(run, section)
    await _askd(run, section)
    with _port() as port:
        await _langgraph(run, section, "LangGraph server, small", fake(run.plan.folder, port), port)
    if langgraph := command():
        copy = shutil.copytree(EXAMPLE, run.plan.folder / "remote")
        with _port() as port:
            arguments = (langgraph, "dev", "--no-browser", "--no-reload", "--port", str(port))
            await _langgraph(run, section, "langgraph dev", Server(arguments, copy, AWAY), port)
    else:
        section.judge("killed: langgraph dev", "to be run", "skipped: langgraph-cli[inmem] is not installed", met=None)
    return section


async def _redis(run: Run, section: Section) -> None:
    if not shutil.which("redis-server"):
        section.judge("killed: Redis", "to be run", "skipped: redis-server is not installed", met=None)
        return
    with _port() as port:
        redis = Redis(port, run.plan.folder)
        try:
            await redis.start()
            async with run.askd("quick", ASKD_REDIS_URL=f"redis://127.0.0.1:{port}/0", ASKD_RATE="1000000/s") as askd:
                phases = await _phases(run, askd, redis.kill, redis.start, pause=0.0)
                calls = await redis.until_used(BACK)
            _judge(section, "Redis", phases, allowed=("200",))
            section.judge("killed: Redis is used again", "> 0 scripts run", f"{calls}", met=calls > 0)
        except RuntimeError as fault:
            section.judge("killed: Redis", "to be run", f"failed: {str(fault)[-200:]}".replace("\n", " "), met=False)
        finally:
            await redis.kill()


async def _langgraph(run: Run, section: Section, name: str, server: Server, port: int) -> None:
    try:
        await server.start()
        async with run.askd_of(f"http://127.0.0.1:{port}") as askd:
            phases = await _behind(run, askd, server.kill, server.start)
        _judge(section, name, phases, allowed=GATEWAY)
    finally:
        await server.kill()


async def _askd(run: Run, section: Section) -> None:
    with _port() as port:
        behind: list[Askd] = []

        async def start() -> None:
            behind.append(await Askd.start(run.plan, "serve", f"{SERVED}:quick", ASKD_PORT=str(port)))

        async def kill() -> None:
            await behind[-1].kill()

        try:
            await start()
            async with run.askd_of(f"ask+http://127.0.0.1:{port}") as askd:
                phases = await _behind(run, askd, kill, start)
            _judge(section, "askd behind askd", phases, allowed=GATEWAY)
        finally:
            for each in behind:
                await each.kill()


async def _behind(run: Run, askd: Askd, kill: Act, start: Act) -> dict[str, Sample]:
    """Put a remote server behind askd to the test."""
    await _answers(askd)
    return await _phases(run, askd, kill, start, pause=0.02)


async def _phases(run: Run, askd: Askd, kill: Act, start: Act, *, pause: float) -> dict[str, Sample]:
    """Load before, over the kill, while it is gone, and when it is back."""
    seconds = run.plan.seconds(5, 2)

    async def load() -> Sample:
        return await run.closed(askd.port, connections=CONNECTIONS, seconds=seconds, patience=20, pause=pause)

    found = {"before": await load()}
    killing = asyncio.create_task(load())
    await asyncio.sleep(seconds / 2)
    await kill()
    found["killed"] = await killing
    found["gone"] = await load()
    await start()
    await _answers(askd)
    found["after"] = await load()
    return found


async def _answers(askd: Askd) -> None:
    """Ask until there is an answer. Raises RuntimeError."""

    async def answered() -> bool:
        return (await askd.get("/ask?q=x")).status == 200

    if await poll(answered, BACK) is None:
        raise RuntimeError(f"no answer within {BACK:.0f} s")


def _judge(section: Section, name: str, phases: dict[str, Sample], *, allowed: tuple[str, ...]) -> None:
    for phase, sample in phases.items():
        row = (name, phase, f"{sample.goodput:,.0f}", ms(sample.p50), ms(sample.p99), counted(sample.outcomes))
        section.rows.append(row)
    others = {phase: bad for phase, sample in phases.items() if (bad := sample.other_than(*allowed))}
    seen = ", ".join(f"{phase}: {counted(bad)}" for phase, bad in others.items()) or "no others"
    section.judge(f"killed: {name}, statuses", f"only {', '.join(allowed)}", seen, met=not others)
    calm = [phases[phase] for phase in ("before", "after")]
    fine = all(sample.answers and not sample.other_than(200) for sample in calm)
    seen = f"{counted(calm[0].outcomes)}; {counted(calm[1].outcomes)}"
    section.judge(f"killed: {name}, before and after", "only 200", seen, met=fine)


@contextlib.contextmanager
def _port() -> Iterator[int]:
    """Give a port of 127.0.0.1 that is free."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    yield number
