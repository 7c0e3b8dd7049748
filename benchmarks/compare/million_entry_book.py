"""Measures a book of a million entries: `python tests/benchmark/book_million.py [ENTRIES]`.

Prints load time, memory at rest and its peak while a new version loads, the times of fuzzy and exact questions, and
the worst lag of the event loop meanwhile. Each measurement has a process of its own, pinned to one core where it says
so. Linux only: memory is read from /proc. Needs some 600 MB in the folder for temporary files.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from service.answerers.book import Book
from service.errors import NoAnswer
from service.models import Question

WORDS = 60_000
"""Distinct words, drawn by Zipf's law as in natural text."""
FUZZY = 3000
"""Fuzzy questions asked."""
TICK = 0.005
"""Seconds between two looks at the loop."""
STARTS = ("what is the", "how do i", "why does my", "when should a", "where is the", "can i", "who has the", "")


def vocabulary() -> tuple[list[str], list[float]]:
    """Return made-up words, the short ones often, and their cumulated weights."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
    rng = random.Random(1)
    words: dict[str, None] = {}
    while len(words) < WORDS:
        length = 1 + min(4, len(words) // 90 + 1, rng.randint(1, 4))
        words["".join(rng.choices(syllables, k=length)) + rng.choice(["", "", "s", "ing", "er", "tion"])] = None
    total, weights = 0.0, []
    for rank in range(WORDS):
        total += 1 / (rank + 2.7)
        weights.append(total)
    return list(words), weights


def generate(path: Path, entries: int) -> None:
    """Write a book of questions of about ten words and answers of about twenty-five."""
    words, weights = vocabulary()
    rng = random.Random(2)
    with path.open("w", encoding="utf-8") as file:
        for number in range(entries):
            ask = f"{rng.choice(STARTS)} {' '.join(rng.choices(words, cum_weights=weights, k=rng.randint(6, 9)))}"
            answer = " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(18, 32)))
            entry = {"ask": f"{ask.strip().capitalize()} {number % 9973}?", "answer": f"{answer.capitalize()}."}
            file.write(("[" if not number else ",\n ") + json.dumps(entry))
        file.write("]\n")


def memory(name: str) -> float:
    """Return VmRSS or VmHWM of this process in GiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / (1 << 20)


def say(line: str) -> None:
    """Print a line at once, since other processes print too."""
    print(line, flush=True)  # noqa: T201 - printing is what this script is for


class Lag:
    """The longest time in which the loop, asked to wake every TICK, did not."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK)
            self.worst = max(self.worst, time.perf_counter() - began - TICK)

    def stop(self) -> float:
        """Return the longest lag in seconds."""
        self._task.cancel()
        return self.worst


async def load(path: Path) -> None:
    """Load once; then ask exactly."""
    book, lag, began = Book(path), Lag(), time.perf_counter()
    await book.load(lambda line: None)
    took = time.perf_counter() - began
    worst = lag.stop()
    entries = json.loads("[" + path.open(encoding="utf-8").readline()[1:].rstrip().rstrip(",") + "]")
    say(f"load                      {took:8.2f} s     worst loop lag {worst * 1e3:.0f} ms")
    say(f"memory at rest            {memory('VmRSS'):8.3f} GiB   peak of the first load {memory('VmHWM'):.3f} GiB")
    question = Question(text=entries[0]["ask"])
    began = time.perf_counter()
    for _ in range(100_000):
        book.at_hand(question)
    say(f"exact, asked again        {(time.perf_counter() - began) * 1e4:8.0f} ns")
    cold = [Question(text=text) for text in asked(path, exact=True)]
    began = time.perf_counter()
    found = sum(book.at_hand(question) is not None for question in cold)
    took = time.perf_counter() - began
    say(f"exact, first time         {took / len(cold) * 1e9:8.0f} ns    {found} of {len(cold)} found")
    await book.close()


def asked(path: Path, *, exact: bool) -> list[str]:
    """Return questions from all over the book; unless exact, with a word left out and two exchanged."""
    rng = random.Random(3)
    texts: list[str] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(texts) < FUZZY:
            file.seek(rng.randrange(size - 4096))
            file.readline()
            text = json.loads(file.readline().strip().rstrip(b",]"))["ask"]
            parts = text.split()
            del parts[rng.randrange(3, len(parts))]
            parts[-1], parts[-2] = parts[-2], parts[-1]
            texts.append(text if exact else " ".join(parts))
    return texts


async def fuzzy(path: Path) -> None:
    """Ask one after the other, on one core, with the loop's lag beside."""
    book = Book(path)
    await book.load(lambda line: None)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    words, weights = vocabulary()
    rng = random.Random(4)
    strange = [" ".join(rng.choices(words, cum_weights=weights, k=10)) for _ in range(FUZZY)]
    for name, texts in (("fuzzy, a word left out", asked(path, exact=False)), ("fuzzy, ten other words", strange)):
        times, answered, lag = [], 0, Lag()
        for text in texts:
            began = time.perf_counter()
            with contextlib.suppress(NoAnswer):
                answered += bool(await book.answer(Question(text=text)))
            times.append(time.perf_counter() - began)
        times.sort()
        p50, p99 = times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
        worst = lag.stop() * 1e3
        say(f"{name:25} {p50:8.2f} ms    p99 {p99:.2f} ms, answered {answered / len(texts):.1%}, lag {worst:.0f} ms")
    await book.close()


def changed(path: Path) -> Path:
    """Write the next version beside the book; return where."""
    new = path.with_name("next.tmp")
    subprocess.run(["sed", '1s/"answer": "/"answer": "New /', path], stdout=new.open("wb"), check=True)
    return new


def count_peak() -> None:
    """Let the peak of this process's memory count from now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


async def reload(path: Path) -> None:
    """Put a new version in place while the old one serves."""
    book = Book(path)
    await book.load(lambda line: None)
    outcomes, new = book.outcomes(), changed(path)
    count_peak()
    lag, began = Lag(), time.perf_counter()
    new.replace(path)
    outcome = await outcomes.get()
    took = time.perf_counter() - began
    say(f"new version               {took:8.2f} s     {outcome}, worst loop lag {lag.stop() * 1e3:.0f} ms")
    say(f"peak while it loads       {memory('VmHWM'):8.3f} GiB")
    await book.close()
    say(f"at rest after             {memory('VmRSS'):8.3f} GiB")


MEASUREMENTS: dict[str, Callable[[Path], Coroutine[Any, Any, None]]] = {"load": load, "fuzzy": fuzzy, "reload": reload}


def main() -> None:
    """Generate the book and start a process for each measurement, or be one of these."""
    if sys.argv[1:2] and sys.argv[1] in MEASUREMENTS:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        asyncio.run(MEASUREMENTS[sys.argv[1]](Path(sys.argv[2])))
        return
    entries = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="askd-book-"))
    try:
        book = folder / "million.json"
        generate(book, entries)
        say(f"{entries:,} entries, {book.stat().st_size / 1e6:.0f} MB of JSON")
        for name in MEASUREMENTS:
            subprocess.run([sys.executable, __file__, name, str(book)], check=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
