"""What the gate looks at: it runs, it answers, it tests itself, and one rollout loses nothing."""

import time

from tests.cluster.asking import FAST, SLOW, STREAM, VALUES, Load, load
from tests.cluster.cluster import Release, run


async def test_it_runs_restarts_and_loses_nothing(each: Release) -> None:
    """Installed by either Helm where `restricted` is enforced, it is ready, passes its test, and rolls unnoticed."""
    started = time.monotonic()
    await each.install(VALUES)
    print(f"{each.helm}: ready after {time.monotonic() - started:.1f} s")
    assert len(await each.pods()) == 2
    await run(each.helm, "test", "askd", "--namespace", each.namespace)
    async with each.load(FAST, SLOW, STREAM) as asked:
        await each.restart()
    assert isinstance(asked, Load)
    assert asked.clean()["slow"]["requests"] > 20


async def test_the_built_in_book_answers_without_any_value(release: Release) -> None:
    """An install without values answers `hello` from the book, the same bytes from every replica."""
    await release.install({})
    book = load.Kind(name="book", kept=2, fresh=8, pause=0.02)
    async with release.load(book) as asked:
        await release.kubectl("rollout", "status", "deployment/askd")
        for _ in range(20):
            await asked.warm()
    asked.clean()
    assert asked.tallies["book"].bodies == {b'{"answer":"Hi"}'}
    assert len(asked.tallies["book"].servers) == 2
