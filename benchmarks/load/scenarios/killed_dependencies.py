"""Dependencies that are killed under load: Redis, a LangGraph server, another askd."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from benchmarks.load.askd_process import WORKLOADS_FILE, AskdProcess
from benchmarks.load.polling import poll
from benchmarks.load.redis_process import RedisProcess
from benchmarks.load.report import Section, format_ms
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import StepResult, format_outcomes
from tests.process.test_langgraph_dev import EXAMPLE_FOLDER, OFFLINE_ENVIRONMENT, find_langgraph_command
from tests.support.fake_langgraph_server import fake_langgraph_server
from tests.support.killable_server import KillableServer

CONNECTIONS: Final = 8
RECOVERY_TIMEOUT: Final = 30.0
"""Maximum seconds until requests succeed again."""
ALLOWED_STATUSES: Final = ("200", "502", "503")
"""Allowed statuses while an upstream server is down; 500 and 504 would blame askd or the client's deadline."""
Action = Callable[[], Awaitable[None]]


async def measure(run: ScenarioContext) -> Section:
    """Kill one dependency after the other. Those that are not installed are skipped."""
    head = ("dependency", "phase", "responses/s", "p50", "p99", "outcomes")
    section = Section(title="Dependencies killed with `kill -9` under load", head=head)
    await _redis(run, section)
    await _askd(run, section)
    with _free_port() as port:
        await _langgraph(run, section, "fake LangGraph server", fake_langgraph_server(run.plan.folder, port), port)
    if langgraph := find_langgraph_command():
        project = shutil.copytree(EXAMPLE_FOLDER, run.plan.folder / "remote")
        with _free_port() as port:
            arguments = (langgraph, "dev", "--no-browser", "--no-reload", "--port", str(port))
            await _langgraph(
                run, section, "langgraph dev", KillableServer(arguments, project, OFFLINE_ENVIRONMENT), port
            )
    else:
        section.add_verdict("killed: langgraph dev", "runs", "skipped: langgraph-cli[inmem] is not installed", met=None)
    return section


async def _redis(run: ScenarioContext, section: Section) -> None:
    if not shutil.which("redis-server"):
        section.add_verdict("killed: Redis", "runs", "skipped: redis-server is not installed", met=None)
        return
    with _free_port() as port:
        redis = RedisProcess(port, run.plan.folder)
        try:
            await redis.start()
            async with run.serve_workload(
                "quick", ASKD_REDIS_URL=f"redis://127.0.0.1:{port}/0", ASKD_RATE_LIMIT="1000000/s"
            ) as askd:
                phases = await _measure_phases(run, askd, redis.kill, redis.start, pause=0.0)
                scripts = await redis.wait_until_used(RECOVERY_TIMEOUT)
            _judge(section, "Redis", phases, allowed=("200",))
            section.add_verdict("killed: Redis is used again", "> 0 scripts run", f"{scripts}", met=scripts > 0)
        except RuntimeError as error:
            section.add_verdict("killed: Redis", "runs", f"failed: {str(error)[-200:]}".replace("\n", " "), met=False)
        finally:
            await redis.kill()


async def _langgraph(run: ScenarioContext, section: Section, name: str, server: KillableServer, port: int) -> None:
    try:
        await server.start()
        async with run.serve_spec(f"http://127.0.0.1:{port}") as askd:
            phases = await _measure_remote(run, askd, server.kill, server.start)
        _judge(section, name, phases, allowed=ALLOWED_STATUSES)
    finally:
        await server.kill()


async def _askd(run: ScenarioContext, section: Section) -> None:
    with _free_port() as port:
        upstreams: list[AskdProcess] = []

        async def start() -> None:
            upstreams.append(await AskdProcess.start(run.plan, "serve", f"{WORKLOADS_FILE}:quick", ASKD_PORT=str(port)))

        async def kill() -> None:
            await upstreams[-1].kill()

        try:
            await start()
            async with run.serve_spec(f"ask+http://127.0.0.1:{port}") as askd:
                phases = await _measure_remote(run, askd, kill, start)
            _judge(section, "upstream askd", phases, allowed=ALLOWED_STATUSES)
        finally:
            for upstream in upstreams:
                await upstream.kill()


async def _measure_remote(
    run: ScenarioContext, askd: AskdProcess, kill: Action, start: Action
) -> dict[str, StepResult]:
    """Wait until the upstream server answers, then kill it under load."""
    await _wait_for_answer(askd)
    return await _measure_phases(run, askd, kill, start, pause=0.02)


async def _measure_phases(
    run: ScenarioContext, askd: AskdProcess, kill: Action, start: Action, *, pause: float
) -> dict[str, StepResult]:
    """Measure the load before the kill, during it, while the dependency is down, and after its restart."""
    seconds = run.plan.seconds(5, 2)

    async def load() -> StepResult:
        return await run.closed_loop(askd.port, connections=CONNECTIONS, seconds=seconds, timeout=20, pause=pause)

    samples = {"before": await load()}
    during_kill = asyncio.create_task(load())
    await asyncio.sleep(seconds / 2)
    await kill()
    samples["killed"] = await during_kill
    samples["down"] = await load()
    await start()
    await _wait_for_answer(askd)
    samples["after"] = await load()
    return samples


async def _wait_for_answer(askd: AskdProcess) -> None:
    """Send requests until one succeeds. Raises RuntimeError after a time-out."""

    async def succeeds() -> bool:
        return (await askd.get("/ask?q=x")).status == 200

    if await poll(succeeds, RECOVERY_TIMEOUT) is None:
        raise RuntimeError(f"no successful request within {RECOVERY_TIMEOUT:.0f} s")


def _judge(section: Section, name: str, phases: dict[str, StepResult], *, allowed: tuple[str, ...]) -> None:
    for phase, sample in phases.items():
        row = (
            name,
            phase,
            f"{sample.goodput:,.0f}",
            format_ms(sample.p50),
            format_ms(sample.p99),
            format_outcomes(sample.outcomes),
        )
        section.rows.append(row)
    others = {phase: outcomes for phase, sample in phases.items() if (outcomes := sample.outcomes_except(*allowed))}
    measured = ", ".join(f"{phase}: {format_outcomes(outcomes)}" for phase, outcomes in others.items()) or "no others"
    section.add_verdict(f"killed: {name}, statuses", f"only {', '.join(allowed)}", measured, met=not others)
    normal = [phases[phase] for phase in ("before", "after")]
    met = all(sample.answers and not sample.outcomes_except(200) for sample in normal)
    measured = f"{format_outcomes(normal[0].outcomes)}; {format_outcomes(normal[1].outcomes)}"
    section.add_verdict(f"killed: {name}, before and after", "only 200", measured, met=met)


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    """Yield a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port
