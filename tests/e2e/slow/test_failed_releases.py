"""A cloud refuses bad news: a release that cannot run changes nothing for who asks, and says why."""

from typing import Any

import pytest

from . import node
from .cluster import Release
from .command import Failed
from .conftest import Install
from .figures import Figures
from .load import FAST, Kind, Load, told

pytestmark = pytest.mark.proof

SLOW = Kind(name="slow", query="q=hello&wait=4", kept=2, fresh=2)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an image that does not exist": ({"image__tag": "never-built"}, "never-built"),
    "a broken book": (
        {"answerer__files": {"book.yaml": "- ask: [hello\n"}, "answerer__spec": "book.yaml"},
        "book.yaml",
    ),
    "broken code": ({"answerer__files": {"answer.py": "def answer(text:\n"}}, "answer.py:1"),
    "a bad setting": ({"settings__trustedProxies": ["10.0.0.1/8"]}, "ASKD_TRUSTED_PROXIES"),
}


async def said(release: Release, old: set[str]) -> str:
    """Return what people would look at: the new pods' description and log."""
    texts = []
    for pod in set(await release.pods()) - old:
        texts.append(await release.namespace.kubectl("describe", "pod", pod))
        texts.append(await release.namespace.kubectl("logs", pod, "--previous", check=False))
        texts.append(await release.namespace.kubectl("logs", pod, check=False))
    return "\n".join(texts)


@pytest.mark.parametrize("what", BAD)
async def test_bad_news(install: Install, figures: Figures, what: str) -> None:
    """The upgrade fails and says why, and the old pods serve, also one that is deleted and one that is killed."""
    release, (values, reason) = await install(), BAD[what]
    old = await release.pods()
    async with Load(
        await release.address(), [FAST, Kind(name="slow", query="q=hello&wait=4", kept=2, fresh=2)]
    ) as load:
        await load.more(300)
        with pytest.raises(Failed):
            await release.upgrade(**values, wait="25s")
        readable = await said(release, set(old))
        await release.namespace.kubectl("delete", "pod", old[0], "--wait=true")
        await release.namespace.kubectl("wait", f"deployment/{release.name}", "--for=condition=Available")
        await load.more(300)
    figures.add("refuses bad news", what, aim="0 failed", measured=told(load.samples), met=not load.failures)
    await node.kill(release.namespace, old[1])
    async with Load(await release.address(), [FAST]) as load:
        await load.quiet(3.0)
    met = reason in readable
    after = f"after kill -9 of an old pod {len(load.failures)} failed, then none"
    measured = f"'{reason}' is {'' if met else 'NOT '}readable; {after}"
    figures.add("refuses bad news", what, aim="reason readable; goes on", measured=measured, met=met)
