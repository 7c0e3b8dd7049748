"""Tables for people, and as Markdown: one for each scenario, and what became of the aims in the end."""

import dataclasses
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

PACKAGES: Final = ("askd", "aiohttp", "uvloop")


class Verdict(NamedTuple):
    """One aim, and what was seen; `met` None: shown, not judged."""

    what: str
    aim: str
    seen: str
    met: bool | None

    @property
    def word(self) -> str:
        """The verdict as a word."""
        return {True: "pass", False: "MISS", None: "—"}[self.met]


@dataclasses.dataclass(kw_only=True)
class Section:
    """What one scenario gives: a table, lines below it, and its verdicts."""

    title: str
    head: Sequence[str] = ()
    rows: list[Sequence[str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    verdicts: list[Verdict] = dataclasses.field(default_factory=list)

    def judge(self, what: str, aim: str, seen: str, *, met: bool | None) -> None:
        """Add a verdict."""
        self.verdicts.append(Verdict(what, aim, seen, met))

    def lines(self, *, markdown: bool) -> list[str]:
        """Show it."""
        found = [f"## {self.title}", ""]
        if self.rows:
            found += [*table(self.head, self.rows, markdown=markdown), ""]
        found += [f"- {note}" for note in self.notes]
        return found + [f"- {each.word}: {each.what}: {each.seen} (aim: {each.aim})" for each in self.verdicts] + [""]


def summary(sections: Iterable[Section], *, markdown: bool) -> list[str]:
    """All aims in one table."""
    rows = [(each.what, each.aim, each.seen, each.word) for section in sections for each in section.verdicts]
    return ["## Summary", "", *table(("what", "aim", "seen", "ok"), rows, markdown=markdown)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, markdown: bool) -> list[str]:
    """Lines of a table, in columns, or with the bars of Markdown as well."""
    found = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in found) for column in range(len(head))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in found]
    lines.insert(1, ["-" * width for width in widths])
    return [f"| {' | '.join(line)} |" if markdown else "  ".join(line).rstrip() for line in lines]


def header(*, server_core: int | None, load_core: int | None, quick: bool) -> str:
    """What the figures depend on, in one line."""
    parts = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    parts[0] += f" ({commit.stdout.strip() or 'no checkout'})"
    parts += [f"Python {platform.python_version()}", f"Linux {platform.release()}", f"{os.cpu_count()} × {_cpu()}"]
    parts += [f"server on core {server_core}, load on core {load_core}", f"load average {os.getloadavg()[0]:.1f}"]
    return ", ".join(parts) + (", QUICK: a smoke, no figures" if quick else "")


def _cpu() -> str:
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return names[0] if names else platform.machine()


def ms(seconds: float) -> str:
    """Seconds as milliseconds; below 0: there is none."""
    return f"{seconds * 1e3:.1f} ms" if seconds >= 0 else "—"


def mib(size: float) -> str:
    """Bytes as MiB."""
    return f"{size / 2**20:.1f} MiB"
