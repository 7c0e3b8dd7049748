"""Reports as text or Markdown: a section for each scenario, and a summary of the aims."""

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
    """An aim and its measured result. `met` is None if the result is only shown."""

    subject: str
    aim: str
    measured: str
    met: bool | None

    @property
    def label(self) -> str:
        """The verdict as text."""
        return {True: "pass", False: "MISS", None: "—"}[self.met]


@dataclasses.dataclass(kw_only=True)
class Section:
    """Results of one scenario: a table, notes and verdicts."""

    title: str
    head: Sequence[str] = ()
    rows: list[Sequence[str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    verdicts: list[Verdict] = dataclasses.field(default_factory=list)

    def add_verdict(self, subject: str, aim: str, measured: str, *, met: bool | None) -> None:
        """Add a verdict."""
        self.verdicts.append(Verdict(subject, aim, measured, met))

    def lines(self, *, markdown: bool) -> list[str]:
        """Return the section as lines of text."""
        lines = [f"## {self.title}", ""]
        if self.rows:
            lines += [*table(self.head, self.rows, markdown=markdown), ""]
        lines += [f"- {note}" for note in self.notes]
        lines += [f"- {item.label}: {item.subject}: {item.measured} (aim: {item.aim})" for item in self.verdicts]
        return [*lines, ""]


def summary(sections: Iterable[Section], *, markdown: bool) -> list[str]:
    """Return a table of all verdicts."""
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    rows = [(verdict.subject, verdict.aim, verdict.measured, verdict.label) for verdict in verdicts]
    return ["## Summary", "", *table(("subject", "aim", "measured", "ok"), rows, markdown=markdown)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, markdown: bool) -> list[str]:
    """Return the lines of a table in aligned columns, as text or Markdown."""
    all_rows = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in all_rows) for column in range(len(head))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in all_rows]
    lines.insert(1, ["-" * width for width in widths])
    return [f"| {' | '.join(line)} |" if markdown else "  ".join(line).rstrip() for line in lines]


def header(*, server_core: int | None, load_core: int | None, quick: bool) -> str:
    """Return one line with the versions, the machine and its load."""
    parts = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    parts[0] += f" ({commit.stdout.strip() or 'no checkout'})"
    parts += [
        f"Python {platform.python_version()}",
        f"Linux {platform.release()}",
        f"{os.cpu_count()} × {_cpu_model()}",
    ]
    parts += [f"server on core {server_core}, load on core {load_core}", f"load average {os.getloadavg()[0]:.1f}"]
    return ", ".join(parts) + (", QUICK: smoke test, the results mean little" if quick else "")


def _cpu_model() -> str:
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return names[0] if names else platform.machine()


def format_ms(seconds: float) -> str:
    """Format seconds as milliseconds; a negative value means no data."""
    return f"{seconds * 1e3:.1f} ms" if seconds >= 0 else "—"


def format_mib(size: float) -> str:
    """Format bytes as MiB."""
    return f"{size / 2**20:.1f} MiB"
