"""The table of the proof: what a cloud does, what was aimed at, what was measured."""

from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table."""

    does: str
    test: str
    aim: str
    measured: str
    met: bool


class Figures:
    """Collects rows."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, does: str, test: str, *, aim: str, measured: str, met: bool) -> None:
        """Add a row, and print it at once. A test that has missed an aim goes on, and fails at its end."""
        row = Row(does, test, aim, measured, met)
        self.rows.append(row)
        print(f"\n{'met   ' if met else 'MISSED'} {does}: {test}: {measured} (aim: {aim})", flush=True)

    def table(self) -> str:
        """Return the rows as Markdown."""
        head = ["| a cloud … | test | aim | measured | |", "|---|---|---|---|---|"]
        body = ["| " + " | ".join((*row[:4], "met" if row.met else "**missed**")) + " |" for row in self.rows]
        return "\n".join([*head, *body])
