"""Takes the pictures in docs/pictures, and measures what the pages weigh and how soon they answer: `make pictures`.

With the fonts Inter and JetBrains Mono installed, which the pages prefer, they look the same anywhere.
"""

import asyncio
import shutil
import statistics
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright

from service.app import LOADED, create_app
from service.settings import Settings
from tests.browser.conftest import PROGRAM

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
WIDTHS = {"wide": {"width": 1200, "height": 1120}, "narrow": {"width": 390, "height": 1120}}
QUESTIONS = (
    "hello",
    "what are servers",
    "What is a client?",
    "how does dns work",
    "what is a loadbalancer",
    "what is a reverse proxys",
    "what are servers",
    "What is a server?",
    "what is kubernets",
    "hello",
    "tell me about ports",
    "explain load balancers",
)
ROUNDS = 15

FIRST_ANSWER = """new Promise((done) => {
    const box = document.getElementById("answer");
    const look = () => box.querySelector(".text") && done(performance.now());
    new MutationObserver(look).observe(box, { childList: true, subtree: true });
    look();
})"""
WEIGHT = """[performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")]
    .filter((one) => !one.name.includes("/ask?"))
    .map((one) => [one.decodedBodySize, one.encodedBodySize])"""


async def home(page: Page, base: str) -> None:
    """Ask a few questions."""
    await page.goto(base)
    for number, text in enumerate(QUESTIONS, 1):
        await page.fill("#q", text)
        await page.press("#q", "Enter")
        await page.wait_for_selector(f"#history input[value='{number}']", state="attached")
    await page.evaluate("document.activeElement.blur()")


async def docs(page: Page, base: str) -> None:
    """Try one operation, and look at it."""
    await page.goto(f"{base}docs")
    form = page.locator("#operation-ask form")
    await form.get_by_role("button", name="Send").click()
    await form.locator(".timeline").wait_for()
    await form.evaluate("(form) => form.previousElementSibling.scrollIntoView()")


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """Serve the built-in book, with nothing in its cache; give the address of its home page."""
    app = create_app(Settings())
    async with TestServer(app) as server:
        await app[LOADED]
        yield str(server.make_url("/"))


async def taken(browser: Browser) -> None:
    """Write every picture."""
    for scheme in ("light", "dark"):
        for width, viewport in WIDTHS.items():
            told: dict[str, Any] = {"viewport": viewport, "color_scheme": scheme, "reduced_motion": "reduce"}
            context = await browser.new_context(**told)
            page = await context.new_page()
            for name, shown in (("home", home), ("docs", docs)):
                async with served() as base:
                    await shown(page, base)
                    await page.screenshot(path=FOLDER / f"{name}-{width}-{scheme}.png", full_page=name == "home")
            await context.close()


async def measured(browser: Browser, base: str) -> None:
    """Print weights in bytes (plain, compressed), and milliseconds from the click on a link to its answer."""
    times = []
    for _ in range(ROUNDS):
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{base}?q=What+is+a+server%3F", wait_until="commit")
        await page.wait_for_selector("#answer", state="attached")
        times.append(await page.evaluate(FIRST_ANSWER))
        await context.close()
    print(f"first answer: median {statistics.median(times):.0f} ms, least {min(times):.0f} ms, of {ROUNDS} cold pages")
    page = await browser.new_page()
    for path in ("", "docs"):
        await page.goto(base + path)
        plain, packed = map(sum, zip(*await page.evaluate(WEIGHT), strict=True))
        print(f"/{path}: {plain} bytes, {packed} compressed")


def optimised() -> None:
    """Make the pictures smaller without a change, where optipng is here; tell their sizes."""
    pictures = sorted(FOLDER.glob("*.png"))
    if program := shutil.which("optipng"):
        subprocess.run([program, "-quiet", "-o2", "-strip", "all", *pictures], check=True)
    for picture in pictures:
        print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} KB")


async def main() -> None:
    """Take the pictures and measure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright, served() as base:
        browser = await playwright.chromium.launch(executable_path=PROGRAM)
        await taken(browser)
        await measured(browser, base)
        await browser.close()
    optimised()


if __name__ == "__main__":
    asyncio.run(main())
