"""Take the screenshots in docs/pictures, and measure page sizes and response times: `make pictures`.

The pictures are reproducible if the fonts Inter and JetBrains Mono are installed, which the pages prefer.
"""

import asyncio
import shutil
import statistics
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from askd.client.in_process_server import serve_in_process
from askd.config import Settings
from tests.browser.conftest import CHROMIUM

PICTURES_FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
VIEWPORTS = {"wide": {"width": 1200, "height": 1120}, "narrow": {"width": 390, "height": 1120}}
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

FIRST_ANSWER_SCRIPT = """new Promise((resolve) => {
    const answer = document.getElementById("answer");
    const check = () => answer.querySelector(".text") && resolve(performance.now());
    new MutationObserver(check).observe(answer, { childList: true, subtree: true });
    check();
})"""
PAGE_SIZE_SCRIPT = """[performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")]
    .filter((entry) => !entry.name.includes("/ask?"))
    .map((entry) => [entry.decodedBodySize, entry.encodedBodySize])"""


async def show_home_page(page: Page, base: str) -> None:
    """Ask some questions."""
    await page.goto(base)
    for number, text in enumerate(QUESTIONS, 1):
        await page.fill("#q", text)
        await page.press("#q", "Enter")
        await page.wait_for_selector(f"#history input[value='{number}']", state="attached")
    await page.evaluate("document.activeElement.blur()")


async def show_reference_page(page: Page, base: str) -> None:
    """Try one operation and scroll to it."""
    await page.goto(f"{base}docs")
    form = page.locator("#operation-ask form")
    await form.get_by_role("button", name="Send").click()
    await form.locator(".timeline").wait_for()
    await form.evaluate("(form) => form.previousElementSibling.scrollIntoView()")


async def show_conversation(page: Page, base: str) -> None:
    """Order a meal, and pay when the graph asks how."""
    await page.goto(base)
    for number, text in enumerate(("soup", "bread", "pay"), 1):
        await page.fill("#q", text)
        await page.press("#q", "Enter")
        await page.wait_for_selector(f"#history input[value='{number}']", state="attached")
    await page.get_by_role("button", name="Reply").wait_for()


@asynccontextmanager
async def running_app(answerer: str | None = None) -> AsyncIterator[str]:
    """Serve an answerer, by default the built-in book, with an empty cache; yield the URL of the home page."""
    async with serve_in_process(Settings(answerer=answerer)) as url:
        yield f"{url}/"


PICTURES: dict[str, tuple[str | None, Callable[[Page, str], Awaitable[None]]]] = {
    "home": (None, show_home_page),
    "conversation": (str(PICTURES_FOLDER.parent / "examples" / "langgraph" / "main.py"), show_conversation),
    "docs": (None, show_reference_page),
}
"""What each picture serves, and how it is brought about."""


async def take_screenshots(browser: Browser) -> None:
    """Take all screenshots."""
    for scheme in ("light", "dark"):
        for width, viewport in VIEWPORTS.items():
            options: dict[str, Any] = {"viewport": viewport, "color_scheme": scheme, "reduced_motion": "reduce"}
            context = await browser.new_context(**options)
            page = await context.new_page()
            for name, (answerer, show) in PICTURES.items():
                async with running_app(answerer) as base:
                    await show(page, base)
                    await page.screenshot(
                        path=PICTURES_FOLDER / f"{name}-{width}-{scheme}.png", full_page=name == "home"
                    )
            await context.close()


async def measure_pages(browser: Browser, base: str) -> None:
    """Print page sizes in bytes, and the time in ms from opening a link with a question to its answer."""
    times = []
    for _ in range(ROUNDS):
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{base}?q=What+is+a+server%3F", wait_until="commit")
        await page.wait_for_selector("#answer", state="attached")
        times.append(await page.evaluate(FIRST_ANSWER_SCRIPT))
        await context.close()
    print(
        f"first answer: median {statistics.median(times):.0f} ms, minimum {min(times):.0f} ms "
        f"({ROUNDS} pages, empty cache)"
    )
    page = await browser.new_page()
    for path in ("", "docs"):
        await page.goto(base + path)
        plain, compressed = map(sum, zip(*await page.evaluate(PAGE_SIZE_SCRIPT), strict=True))
        print(f"/{path}: {plain} bytes, {compressed} compressed")


def optimise_screenshots() -> None:
    """Compress the screenshots losslessly if optipng is installed, and print their sizes."""
    pictures = sorted(PICTURES_FOLDER.glob("*.png"))
    if program := shutil.which("optipng"):
        subprocess.run([program, "-quiet", "-o2", "-strip", "all", *pictures], check=True)
    for picture in pictures:
        print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} KB")


async def main() -> None:
    """Take the screenshots and measure the pages."""
    PICTURES_FOLDER.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright, running_app() as base:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        await take_screenshots(browser)
        await measure_pages(browser, base)
        await browser.close()
    optimise_screenshots()


if __name__ == "__main__":
    asyncio.run(main())
