"""A terminal as a person has one: a process runs on it, and what it would show is kept, screen by screen."""

import asyncio
import codecs
import contextlib
import os
import pty
import re
import sys
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from .conftest import BOUND, VARIABLES

_PIECES: Final = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\s\S])")
_BEGUN: Final = re.compile(r"\x1b(\[[?0-9;]*)?$")
_COLOURS: Final = "m"
_IN_TTY: Final = 'exec "$@" <"$0" >"$0" 2>&1'
"""For a shell that leads a session: the first terminal that it opens is the one whose Ctrl-C reaches the process."""


class Screen:
    """What a terminal of this size shows of what was written to it; controls that it does not know are a fault."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.scrolled = 0
        """Lines that have left at the top."""
        self._cells = [[" "] * columns for _ in range(rows)]
        self._row = self._column = 0
        self._rest = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode

    def feed(self, data: bytes) -> None:
        """Take up what was written."""
        text = self._rest + self._decode(data)
        begun = _BEGUN.search(text)
        self._rest = begun[0] if begun else ""
        for match in _PIECES.finditer(text[: len(text) - len(self._rest)]):
            number, control, sign = match.groups()
            if sign is None:
                self._control(control, number)
            else:
                self._write(sign)

    @property
    def lines(self) -> list[str]:
        """The lines, without the space at their ends."""
        return ["".join(row).rstrip() for row in self._cells]

    def _write(self, sign: str) -> None:
        if sign == "\r":
            self._column = 0
        elif sign == "\n":
            self._down()
        else:
            assert sign >= " ", f"{sign!r} is no text"
            if self._column == self.columns:
                self._column = 0
                self._down()
            self._cells[self._row][self._column] = sign
            self._column += 1

    def _down(self) -> None:
        if self._row < self.rows - 1:
            self._row += 1
            return
        self.scrolled += 1
        self._cells = [*self._cells[1:], [" "] * self.columns]

    def _control(self, name: str, number: str) -> None:
        row = self._cells[self._row]
        match name, number:
            case "H", "":
                self._row = self._column = 0
            case "K", "":
                row[self._column :] = " " * (self.columns - self._column)
            case "K", "2":
                row[:] = " " * self.columns
            case "J", "" | "2":
                begin = 0 if number else self._row + 1
                if not number:
                    row[self._column :] = " " * (self.columns - self._column)
                for each in self._cells[begin:]:
                    each[:] = " " * self.columns
            case _:
                assert name == _COLOURS, f"{name!r} with {number!r} is no control of this terminal"


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, ends: tuple[int, int], screen: Screen) -> None:
        self._process = process
        self._end, self._other = ends
        self._screen = screen
        self.frames: list[list[str]] = []
        """Every screen, as lines, after each piece that was written."""
        self._looked = 0
        self._over = False
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._end, self._read)

    @classmethod
    async def start(
        cls, folder: Path, *arguments: str, rows: int = 24, columns: int = 80, **variables: str
    ) -> "Terminal":
        """Run `python -m service` on a terminal, with no variables of askd's but the given ones and a free port."""
        end, other = pty.openpty()
        termios.tcsetwinsize(other, (rows, columns))
        own = {name: value for name, value in os.environ.items() if not name.startswith(("ASKD_", "COLUMNS", "LINES"))}
        environment: Mapping[str, str] = {**own, **VARIABLES, "ASKD_LOG_FORMAT": "auto", "TERM": "xterm", **variables}
        command = ("sh", "-c", _IN_TTY, os.ttyname(other), sys.executable, "-m", "service", *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environment, start_new_session=True, stdin=asyncio.subprocess.DEVNULL
        )
        return cls(process, (end, other), Screen(rows, columns))

    def _read(self) -> None:
        try:
            data = os.read(self._end, 1 << 16)
        except OSError:  # nobody has it open any more
            data = b""
        if data:
            self._screen.feed(data)
            self.frames.append(self._screen.lines)
        else:
            self._over = True
            asyncio.get_running_loop().remove_reader(self._end)
        self._news.set()

    @property
    def scrolled(self) -> int:
        """Lines that have left at the top."""
        return self._screen.scrolled

    @property
    def widest(self) -> int:
        """The length of the longest line that was ever shown."""
        return max(len(line) for frame in self.frames for line in frame)

    async def shows(self, condition: Callable[[list[str]], object]) -> list[str]:
        """Wait for a screen of which the condition holds, after the last that was waited for; its lines."""
        try:
            async with asyncio.timeout(BOUND):
                while True:
                    while self._looked < len(self.frames):
                        self._looked += 1
                        if condition(frame := self.frames[self._looked - 1]):
                            return frame
                    assert not self._over, f"it ended without:\n{self._shown}"
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pytest.fail(f"it does not show that:\n{self._shown}")

    @property
    def _shown(self) -> str:
        return "\n".join(self._screen.lines)

    def type(self, text: str) -> None:
        """Press keys; code 3 is Ctrl-C."""
        os.write(self._end, text.encode())

    async def ended(self) -> int:
        """Wait for the process to end, and return its exit code."""
        try:
            async with asyncio.timeout(BOUND):
                return await self._process.wait()
        except TimeoutError:
            pytest.fail(f"did not end:\n{self._shown}")

    async def close(self) -> None:
        """End the process, whatever it does, and give the terminal back."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._end)
        os.close(self._end)
        os.close(self._other)
