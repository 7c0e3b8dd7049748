"""Graceful shutdown under load: accepted requests are answered, and those that exceed the drain time-out get errors."""

import asyncio
import signal
import time
from collections import Counter
from typing import Final, NamedTuple

from benchmarks.load import raw_http
from benchmarks.load.askd_process import AskdProcess, send_request
from benchmarks.load.no_retry_client import Failure, NoRetryClient, response_outcome
from benchmarks.load.polling import poll
from benchmarks.load.report import Section
from benchmarks.load.scenario_context import ScenarioContext
from benchmarks.load.step_result import CONNECTION_LOST, format_outcomes, sum_outcomes

QUICK_CLIENTS: Final = 35
SLOW_CLIENTS: Final = 10
STREAMING_CLIENTS: Final = 5
"""Numbers of clients whose requests take no time, 4 s, and 4 s as a stream."""
EXIT_TIMEOUT: Final = 60.0
"""Seconds after SIGTERM after which a process is considered hung."""
CALL_TIMEOUT: Final = 1.5
"""Seconds within which all requests that will be cut off must be in flight; less than their deadline."""
CUT_OFF_REQUESTS: Final = 3
"""Number of requests, and of streams, that exceed the drain time-out."""


class DrainResult(NamedTuple):
    """One run: outcomes, failures, exit code (None if the process hung), and seconds from SIGTERM to exit."""

    outcomes: dict[str, int]
    failures: list[Failure]
    exit_code: int | None
    seconds: float


async def measure(run: ScenarioContext) -> Section:
    """Run ten shutdowns under load, then one that cuts requests off."""
    runs = run.plan.count(10, 2)
    section = Section(
        title="Drain: SIGTERM under 50 clients", head=("run", "exit code", "exited after", "failures", "responses")
    )
    results = [await _drain_under_load(run) for _ in range(runs)]
    for number, result in enumerate(results, 1):
        row = (
            str(number),
            str(result.exit_code),
            f"{result.seconds:.1f} s",
            str(len(result.failures)),
            format_outcomes(result.outcomes),
        )
        section.rows.append(row)
    descriptions = Counter(_describe_failure(failure) for result in results for failure in result.failures)
    section.notes += [f"{count} failures: {description}" for description, count in descriptions.most_common(6)]
    clean = sum(not result.failures for result in results)
    section.add_verdict("drain: runs without a failure", f"{runs} of {runs}", f"{clean} of {runs}", met=clean == runs)
    codes = Counter(str(result.exit_code) for result in results)
    section.add_verdict("drain: exit code", "0", format_outcomes(codes), met=codes.keys() == {"0"})
    others = {name: count for name, count in sum_outcomes(result.outcomes for result in results).items()
              if name not in {"200", "503", "answer"}}  # fmt: skip
    section.add_verdict("drain: responses", "answers, or 503", f"others: {format_outcomes(others)}", met=not others)
    await _cut_off(run, section)
    return section


async def _drain_under_load(run: ScenarioContext) -> DrainResult:
    async with run.serve_workload("steps", ASKD_DRAIN_DELAY="2s") as askd:
        clients = [NoRetryClient(askd.port, "0") for _ in range(QUICK_CLIENTS)]
        clients += [NoRetryClient(askd.port, "4") for _ in range(SLOW_CLIENTS)]
        clients += [NoRetryClient(askd.port, "4", stream=True) for _ in range(STREAMING_CLIENTS)]
        tasks = [asyncio.create_task(client.run()) for client in clients]
        try:
            await asyncio.sleep(run.plan.seconds(3, 1.5))
            started_at = time.monotonic()
            askd.send_signal(signal.SIGTERM)
            code = await askd.wait_for_exit(EXIT_TIMEOUT)
            seconds = time.monotonic() - started_at
            await asyncio.wait(tasks, timeout=5)
        finally:
            for task in tasks:
                task.cancel()
    failures = [failure for client in clients for failure in client.failures]
    return DrainResult(sum_outcomes(client.outcomes for client in clients), failures, code, seconds)


def _describe_failure(failure: Failure) -> str:
    connection = "a new connection" if failure.first_request else "a keep-alive connection"
    received = "part of the response" if failure.received else "no response"
    return f"request of {failure.question} s on {connection}: {failure.error} after {received}"


async def _cut_off(run: ScenarioContext, section: Section) -> None:
    """Stop with requests and streams of a minute and a drain time-out of 2 s, which is the deadline of the requests."""
    variables = {"ASKD_DRAIN_DELAY": "200ms", "ASKD_DRAIN_TIMEOUT": "2s", "ASKD_DEADLINE": "2s"}
    async with run.serve_workload("steps", **variables) as askd:
        tasks = [
            asyncio.create_task(_send_long_request(askd, stream=number >= CUT_OFF_REQUESTS))
            for number in range(2 * CUT_OFF_REQUESTS)
        ]

        async def all_in_flight() -> bool:
            return (await askd.metrics())["askd_answerer_in_flight"] == len(tasks)

        if await poll(all_in_flight, CALL_TIMEOUT) is None:
            raise RuntimeError(f"not all of {len(tasks)} requests are in flight after {CALL_TIMEOUT:g} s")
        askd.send_signal(signal.SIGTERM)
        code = await askd.wait_for_exit(EXIT_TIMEOUT)
        outcomes = Counter(await asyncio.gather(*tasks))
        events = askd.events("drain_timeout")
    met = code == 0 and outcomes["error"] == CUT_OFF_REQUESTS and outcomes["503"] + outcomes["504"] == CUT_OFF_REQUESTS
    aim = f"{CUT_OFF_REQUESTS} × 503, or 504 at the deadline; {CUT_OFF_REQUESTS} streams: event: error; exit code 0"
    section.add_verdict(
        "drain: requests cut off at the time-out", aim, f"{format_outcomes(outcomes)}; exit code {code}", met=met
    )
    cut_off = outcomes["503"] + outcomes["error"]
    logged = [event["requests"] for event in events]
    section.add_verdict("drain: logged number", str(cut_off), f"{logged}", met=logged == [cut_off])


async def _send_long_request(askd: AskdProcess, *, stream: bool) -> str:
    fields = ["Accept: text/event-stream"] if stream else []
    try:
        return response_outcome(
            await send_request(askd.port, raw_http.get_request("/ask?q=60", *fields)), stream=stream
        )
    except (OSError, EOFError) as error:
        return f"{CONNECTION_LOST} ({type(error).__name__})"
