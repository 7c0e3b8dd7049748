"""What keeps the server from starting: lines for a person."""

from collections.abc import Sequence

from service.errors.base import AskdError


class StartupError(AskdError):
    """The server cannot start. The message is for the person who starts it; the process exits with 2."""


class SettingsError(StartupError):
    """One or more settings are faulty: `faults` has a line for each, with name, value and what is allowed."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class SpecError(StartupError):
    """The answerer's spec leads nowhere; the message names what was found instead."""


class LoadError(StartupError):
    """The answerer was found and could not be loaded; the message names the file, the line and the fault."""


class ListenError(StartupError):
    """An address cannot be listened on; the message says who holds it, where that can be seen."""
