"""Measure a book of a million entries: `python benchmarks/compare/million_entry_book.py [ENTRIES]`.

It prints the load time, memory at rest and while a new version loads, durations of fuzzy and exact lookups, and the
maximum lag of the event loop. Each measurement runs in a separate process. It needs Linux, because memory is read from
/proc, and 600 MB in the directory for temporary files.
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

from askd.answerers.book.answerer import BookAnswerer
from askd.errors import NoAnswer
from askd.models import Question

WORDS = 60_000
"""Number of distinct words, with frequencies by Zipf's law as in natural text."""
FUZZY_QUESTIONS = 3000
"""Number of fuzzy lookups."""
SAMPLE_INTERVAL = 0.005
"""Seconds between two measurements of the event-loop lag."""
QUESTION_STARTS = (
    "what is the",
    "how do i",
    "why does my",
    "when should a",
    "where is the",
    "can i",
    "who has the",
    "",
)


def generate_vocabulary() -> tuple[list[str], list[float]]:
    """Return random words, of which short ones are frequent, and their cumulative weights."""
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


def generate_book(path: Path, entries: int) -> None:
    """Write a book with questions of about 10 words and answers of about 25 words."""
    words, weights = generate_vocabulary()
    rng = random.Random(2)
    with path.open("w", encoding="utf-8") as file:
        for number in range(entries):
            start = rng.choice(QUESTION_STARTS)
            ask = f"{start} {' '.join(rng.choices(words, cum_weights=weights, k=rng.randint(6, 9)))}"
            answer = " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(18, 32)))
            entry = {"ask": f"{ask.strip().capitalize()} {number % 9973}?", "answer": f"{answer.capitalize()}."}
            file.write(("[" if not number else ",\n ") + json.dumps(entry))
        file.write("]\n")


def memory_gib(name: str) -> float:
    """Return a field of /proc/self/status, such as VmRSS or VmHWM, in GiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / (1 << 20)


def say(line: str) -> None:
    """Print a line immediately, because other processes print as well."""
    print(line, flush=True)


class LoopLagSampler:
    """Measures the maximum lag of the event loop."""

    def __init__(self) -> None:
        self._maximum = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            started_at = time.perf_counter()
            await asyncio.sleep(SAMPLE_INTERVAL)
            self._maximum = max(self._maximum, time.perf_counter() - started_at - SAMPLE_INTERVAL)

    def stop(self) -> float:
        """Stop measuring and return the maximum lag in seconds."""
        self._task.cancel()
        return self._maximum


async def measure_load(path: Path) -> None:
    """Measure loading, memory and exact lookups."""
    book, lag, started_at = BookAnswerer(path), LoopLagSampler(), time.perf_counter()
    await book.load(lambda line: None)
    seconds = time.perf_counter() - started_at
    max_lag = lag.stop()
    entries = json.loads("[" + path.open(encoding="utf-8").readline()[1:].rstrip().rstrip(",") + "]")
    say(f"load                      {seconds:8.2f} s     maximum loop lag {max_lag * 1e3:.0f} ms")
    peak = memory_gib("VmHWM")
    say(f"memory at rest            {memory_gib('VmRSS'):8.3f} GiB   peak of the first load {peak:.3f} GiB")
    question = Question(text=entries[0]["ask"])
    started_at = time.perf_counter()
    for _ in range(100_000):
        book.try_immediate(question)
    say(f"exact, repeated           {(time.perf_counter() - started_at) * 1e4:8.0f} ns")
    questions = [Question(text=text) for text in sample_questions(path, exact=True)]
    started_at = time.perf_counter()
    answered = sum(book.try_immediate(question) is not None for question in questions)
    seconds = time.perf_counter() - started_at
    say(
        f"exact, first time         {seconds / len(questions) * 1e9:8.0f} ns    {answered} of {len(questions)} answered"
    )
    await book.close()


def sample_questions(path: Path, *, exact: bool) -> list[str]:
    """Return random questions of the book; unless `exact`, one word is removed and the last two are swapped."""
    rng = random.Random(3)
    texts: list[str] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(texts) < FUZZY_QUESTIONS:
            file.seek(rng.randrange(size - 4096))
            file.readline()
            text = json.loads(file.readline().strip().rstrip(b",]"))["ask"]
            words = text.split()
            del words[rng.randrange(3, len(words))]
            words[-1], words[-2] = words[-2], words[-1]
            texts.append(text if exact else " ".join(words))
    return texts


async def measure_fuzzy_search(path: Path) -> None:
    """Measure sequential fuzzy lookups on one core."""
    book = BookAnswerer(path)
    await book.load(lambda line: None)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    words, weights = generate_vocabulary()
    rng = random.Random(4)
    unknown = [" ".join(rng.choices(words, cum_weights=weights, k=10)) for _ in range(FUZZY_QUESTIONS)]
    for name, texts in (
        ("fuzzy, one word removed", sample_questions(path, exact=False)),
        ("fuzzy, random words", unknown),
    ):
        times, answered, lag = [], 0, LoopLagSampler()
        for text in texts:
            started_at = time.perf_counter()
            with contextlib.suppress(NoAnswer):
                answered += bool(await book.answer(Question(text=text)))
            times.append(time.perf_counter() - started_at)
        times.sort()
        p50, p99 = times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
        max_lag = lag.stop() * 1e3
        say(f"{name:25} {p50:8.2f} ms    p99 {p99:.2f} ms, answered {answered / len(texts):.1%}, lag {max_lag:.0f} ms")
    await book.close()


def write_changed_book(path: Path) -> Path:
    """Write a new version of the book next to it and return the path."""
    new_path = path.with_name("next.tmp")
    subprocess.run(["sed", '1s/"answer": "/"answer": "New /', path], stdout=new_path.open("wb"), check=True)
    return new_path


def reset_peak_memory() -> None:
    """Reset the peak memory (VmHWM) of this process."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


async def measure_reload(path: Path) -> None:
    """Measure the reload of a new version."""
    book = BookAnswerer(path)
    await book.load(lambda line: None)
    outcomes, new_path = book.subscribe_reloads(), write_changed_book(path)
    reset_peak_memory()
    lag, started_at = LoopLagSampler(), time.perf_counter()
    new_path.replace(path)
    outcome = await outcomes.get()
    seconds = time.perf_counter() - started_at
    say(f"reload                    {seconds:8.2f} s     {outcome}, maximum loop lag {lag.stop() * 1e3:.0f} ms")
    say(f"peak during the reload    {memory_gib('VmHWM'):8.3f} GiB")
    await book.close()
    say(f"memory after closing      {memory_gib('VmRSS'):8.3f} GiB")


MEASUREMENTS: dict[str, Callable[[Path], Coroutine[Any, Any, None]]] = {
    "load": measure_load,
    "fuzzy": measure_fuzzy_search,
    "reload": measure_reload,
}


def main() -> None:
    """Generate the book and run each measurement in a process. With the name of a measurement, run only that."""
    if sys.argv[1:2] and sys.argv[1] in MEASUREMENTS:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        asyncio.run(MEASUREMENTS[sys.argv[1]](Path(sys.argv[2])))
        return
    entries = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="askd-book-"))
    try:
        book = folder / "million.json"
        generate_book(book, entries)
        say(f"{entries:,} entries, {book.stat().st_size / 1e6:.0f} MB of JSON")
        for name in MEASUREMENTS:
            subprocess.run([sys.executable, __file__, name, str(book)], check=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
