"""The command that starts another interpreter like this one."""

import sys


def interpreter_command(program: str) -> list[str]:
    """Return the command that runs `program` with the options and the import path of this interpreter.

    The path is part of the command, because a worker must import the same modules, wherever it is started.
    """
    options = ["-I"] if sys.flags.isolated else []
    if sys.dont_write_bytecode:
        options.append("-B")
    if sys.flags.optimize:
        options.append("-" + "O" * sys.flags.optimize)
    options += [f"-W{option}" for option in sys.warnoptions]
    return [sys.executable, *options, "-c", f"import sys; sys.path[:] = {sys.path!r}; {program}"]


def inherited_stdout() -> int | None:
    """Return the descriptor for standard output of another interpreter: that of `sys.stdout`, which may be redirected.

    None inherits the descriptor of this process, if `sys.stdout` has none.
    """
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return None
