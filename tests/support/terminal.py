"""A pseudo-terminal for a process under test, which records every screen."""

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

from tests.support.askd_process import ENVIRONMENT, TIMEOUT

_CONTROL_OR_CHARACTER: Final = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\s\S])")
_INCOMPLETE_CONTROL: Final = re.compile(r"\x1b(\[[?0-9;]*)?$")
_COLOUR_CONTROL: Final = "m"
_RUN_ON_TTY: Final = 'exec "$@" <"$0" >"$0" 2>&1'
"""Script of a session leader: the first terminal that it opens becomes its controlling terminal, for Ctrl-C."""


class Screen:
    """Content of a terminal of this size. Unknown control sequences fail the test."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.scrolled_lines = 0
        """Number of lines that have scrolled out at the top."""
        self._cells = [[" "] * columns for _ in range(rows)]
        self._row = self._column = 0
        self._incomplete = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode

    def feed(self, data: bytes) -> None:
        """Process output of the program."""
        text = self._incomplete + self._decode(data)
        incomplete = _INCOMPLETE_CONTROL.search(text)
        self._incomplete = incomplete[0] if incomplete else ""
        for match in _CONTROL_OR_CHARACTER.finditer(text[: len(text) - len(self._incomplete)]):
            number, control, character = match.groups()
            if character is None:
                self._control(control, number)
            else:
                self._write(character)

    @property
    def lines(self) -> list[str]:
        """The lines without trailing spaces."""
        return ["".join(row).rstrip() for row in self._cells]

    def _write(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._line_feed()
        else:
            assert character >= " ", f"unexpected control character {character!r}"
            if self._column == self.columns:
                self._column = 0
                self._line_feed()
            self._cells[self._row][self._column] = character
            self._column += 1

    def _line_feed(self) -> None:
        if self._row < self.rows - 1:
            self._row += 1
            return
        self.scrolled_lines += 1
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
                first_row = 0 if number else self._row + 1
                if not number:
                    row[self._column :] = " " * (self.columns - self._column)
                for cells in self._cells[first_row:]:
                    cells[:] = " " * self.columns
            case _:
                assert name == _COLOUR_CONTROL, f"unknown control sequence {name!r} with {number!r}"


class Terminal:
    """A process on a pseudo-terminal."""

    def __init__(self, process: asyncio.subprocess.Process, ends: tuple[int, int], screen: Screen) -> None:
        self._process = process
        self._controller, self._device = ends
        self._screen = screen
        self.screens: list[list[str]] = []
        """The screen after each write, as lines."""
        self._screens_checked = 0
        self._has_exited = False
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._controller, self._read)

    @classmethod
    async def start(
        cls, folder: Path, *arguments: str, rows: int = 24, columns: int = 80, **variables: str
    ) -> "Terminal":
        """Run `python -m askd` on a terminal, on a free port, with only the given ASKD_ variables."""
        controller, device = pty.openpty()
        termios.tcsetwinsize(device, (rows, columns))
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ASKD_", "COLUMNS", "LINES"))
        }
        environment: Mapping[str, str] = {
            **inherited,
            **ENVIRONMENT,
            "ASKD_LOG_FORMAT": "auto",
            "TERM": "xterm",
            **variables,
        }
        command = ("sh", "-c", _RUN_ON_TTY, os.ttyname(device), sys.executable, "-m", "askd", *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environment, start_new_session=True, stdin=asyncio.subprocess.DEVNULL
        )
        return cls(process, (controller, device), Screen(rows, columns))

    def _read(self) -> None:
        try:
            data = os.read(self._controller, 1 << 16)
        except OSError:  # no process has the terminal open
            data = b""
        if data:
            self._screen.feed(data)
            self.screens.append(self._screen.lines)
        else:
            self._has_exited = True
            asyncio.get_running_loop().remove_reader(self._controller)
        self._changed.set()

    @property
    def scrolled_lines(self) -> int:
        """Number of lines that have scrolled out at the top."""
        return self._screen.scrolled_lines

    @property
    def longest_line(self) -> int:
        """Length of the longest line on any screen."""
        return max(len(line) for frame in self.screens for line in frame)

    async def wait_for_screen(self, condition: Callable[[list[str]], object]) -> list[str]:
        """Wait for a screen that satisfies the condition, after the last such screen. Returns its lines."""
        try:
            async with asyncio.timeout(TIMEOUT):
                while True:
                    while self._screens_checked < len(self.screens):
                        self._screens_checked += 1
                        if condition(frame := self.screens[self._screens_checked - 1]):
                            return frame
                    assert not self._has_exited, f"the process exited without this screen:\n{self._screen_text}"
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"the screen did not appear:\n{self._screen_text}")

    @property
    def _screen_text(self) -> str:
        return "\n".join(self._screen.lines)

    def press_keys(self, text: str) -> None:
        """Press keys. The character with code 3 is Ctrl-C."""
        os.write(self._controller, text.encode())

    async def wait_for_exit(self) -> int:
        """Wait for the process, and return its exit code."""
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._process.wait()
        except TimeoutError:
            pytest.fail(f"the process did not exit:\n{self._screen_text}")

    async def close(self) -> None:
        """Kill the process, and close the terminal."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._controller)
        os.close(self._controller)
        os.close(self._device)
