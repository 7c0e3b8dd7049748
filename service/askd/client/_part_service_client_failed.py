"""What keeps a client from an answer: the step, the fault, the mend, and the command's exit code."""

from typing import Any, Final

from service.errors import AskdError

NO_ANSWER: Final = 1
"""Exit code: the server was asked, and has no answer."""
BAD_USE: Final = 2
"""Exit code: the question, or how it was asked, must change."""
UNREACHED: Final = 3
"""Exit code: no answer could be had of that server, now or so."""


class Failed(AskdError):
    """There is no answer. `step` is how far it came; `mend`, lines for a person, may be empty; `code` exits with it.

    `problem` is what the server itself said, if it said something; `status` None: it sent none.
    """

    def __init__(
        self, code: int, step: str, fault: str, mend: str = "", *, status: int | None = None, problem: Any = None
    ) -> None:
        super().__init__(f"{step}: {fault}")
        self.code = code
        self.step = step
        self.fault = fault
        self.mend = mend
        self.status = status
        self.problem = problem

    @property
    def lines(self) -> str:
        """The fault, then the mend, indented: as the command line complains."""
        return "\n".join([f"{self.step}: {self.fault}", *(f"      {line}" for line in self.mend.splitlines())])

    def told(self) -> dict[str, Any]:
        """Return the same for programs; what the server said goes beside it."""
        own = {"step": self.step, "fault": self.fault, "mend": self.mend, "status": self.status}
        return own if self.problem is None else {**own, "problem": self.problem}
