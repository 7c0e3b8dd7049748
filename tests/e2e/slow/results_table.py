"""Table of the slow tests: area, test, aim and measured result."""

from typing import NamedTuple


class ResultRow(NamedTuple):
    """One row of the table."""

    area: str
    test: str
    aim: str
    measured: str
    met: bool


class ResultsTable:
    """Collects rows."""

    def __init__(self) -> None:
        self.rows: list[ResultRow] = []

    def add(self, area: str, test: str, *, aim: str, measured: str, met: bool) -> None:
        """Add and print a row. A test with a missed aim continues and fails at its end."""
        self.rows.append(ResultRow(area, test, aim, measured, met))
        print(f"\n{'met   ' if met else 'MISSED'} {area}: {test}: {measured} (aim: {aim})", flush=True)

    def table(self) -> str:
        """Return the rows as Markdown."""
        head = ["| area | test | aim | measured | |", "|---|---|---|---|---|"]
        body = ["| " + " | ".join((*row[:4], "met" if row.met else "**missed**")) + " |" for row in self.rows]
        return "\n".join([*head, *body])
