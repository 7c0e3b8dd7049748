"""The command line: which command is meant, and the exit code. The commands themselves are in `service.commands`."""

import difflib
import functools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from service import __version__, commands, reload
from service.commands.base import CONTEXT, EPILOG, IMPLIED, complain
from service.errors import StartupError


class Askd(click.Group):
    """The commands; options without a command are those of `serve`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `serve` before options that are not the group's own; not while a shell completes."""
        if not ctx.resilient_parsing and not (args and not args[0].startswith("-")):
            own = [arg for arg in args if arg in {"-h", "--help", "--version"}]
            ctx.meta[IMPLIED] = not own
            args = own[:1] or ["serve", *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None: there is none of this name."""
        return commands.find(cmd_name) if cmd_name in commands.NAMES else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Say what to type where the first word is an answerer or a slip."""
        if args and args[0] not in commands.NAMES and not ctx.resilient_parsing:
            raise click.UsageError(self._no_command(args[0]))
        return super().resolve_command(ctx, args)

    def _no_command(self, word: str) -> str:
        near = difflib.get_close_matches(word, commands.NAMES, n=1)
        if any(sign in word for sign in ":/.") or (Path(word).exists() and not near):
            near = [f"serve {word}"]
        names = ", ".join(commands.NAMES)
        return f"there is no command {word!r}: " + (
            f"did you mean `askd {near[0]}`?" if near else f"give one of {names}"
        )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the options of `serve` too, for they may stand without it."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            own = {item.value for item in found}
            found += [item for item in commands.find("serve").shell_complete(ctx, incomplete) if item.value not in own]
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order in which they are told."""
        return list(commands.NAMES)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands first, then the options of `serve`."""
        self.format_commands(ctx, formatter)
        commands.find("serve").format_options(ctx, formatter)


askd = Askd(
    "askd",
    help="Serve a Python function, a graph or a book of questions and answers over HTTP. Without a command: serve.",
    epilog=EPILOG,
    context_settings=CONTEXT,
    subcommand_metavar="[COMMAND] [OPTIONS]",
    options_metavar="",
)
click.version_option(__version__, prog_name="askd", message="%(prog)s %(version)s")(askd)


def _started(work: Callable[[], Any]) -> Any:
    """Do the work; where a supervisor has started this process, in the way that it says."""
    if not reload.is_worker():
        return work()
    from service.reload.worker import started  # noqa: PLC0415 - only where it is wanted

    return started(work)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, `sys.argv` when None, and return the exit code: 2 for what a person must mend."""
    try:
        code = _started(functools.partial(askd.main, arguments, prog_name="askd", standalone_mode=False))
    except click.ClickException as fault:
        ctx = getattr(fault, "ctx", None)
        complain(f"{fault.format_message()}\nSee {ctx.command_path if ctx else 'askd'} --help.")
        return 2
    except StartupError as fault:
        complain(str(fault))
        return 2
    except click.Abort:  # Ctrl-C
        return 130
    except BrokenPipeError:  # who read our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code if isinstance(code, int) else 0
