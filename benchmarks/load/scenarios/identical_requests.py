"""A thousand clients that ask the same at the same time."""

from typing import Final

from tests.figures.numbers import counted
from tests.figures.phase import Phase, Step
from tests.figures.report import Section, ms
from tests.figures.run import Run

CLIENTS: Final = 1000


async def measure(run: Run) -> Section:
    """Ask once from each client, and count the calls twice: in the code, and in the metric."""
    calls = run.plan.folder / "calls"
    async with run.askd("counted", FIGURES_CALLS=str(calls), ASKD_MAX_CONNECTIONS=str(2 * CLIENTS)) as askd:
        step = Step(seconds=30, requests=CLIENTS)
        phase = Phase(port=askd.port, connections=CLIENTS, steps=[step], patience=30)
        sample = (await run.shoot(phase))[0]
        series = await askd.metrics()
    metric = sum(value for name, value in series.items() if name.startswith("askd_answerer_duration_seconds_count"))
    made = calls.stat().st_size if calls.exists() else 0
    section = Section(title=f"{CLIENTS:,} simultaneous same questions", head=("outcomes", "calls", "p50", "p99"))
    section.rows.append((counted(sample.outcomes), f"{made:,}", ms(sample.p50), ms(sample.p99)))
    section.judge(
        "same question: calls of the code", "1", f"{made:,}, by the metric {metric:,.0f}", met=made == metric == 1
    )
    everyone = sample.answers == CLIENTS
    section.judge("same question: answers", f"{CLIENTS:,} × 200", counted(sample.outcomes), met=everyone)
    return section
