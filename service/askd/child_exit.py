"""Exit status of a child process, in words."""

import signal


def describe_exit(code: int) -> str:
    """Return `was killed by SIGSEGV` or `exited with code 1`. `code` is minus the signal's number if one killed it."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
