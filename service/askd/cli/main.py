"""Entry point of the command line: selects the command and returns the exit code."""

import difflib
import functools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from askd import __version__, reload
from askd.cli import settings_help
from askd.cli.command_with_settings import IMPLICIT_SERVE_KEY, print_to_stderr
from askd.cli.commands import COMMANDS
from askd.config.environment import flag_name
from askd.errors import StartupError

_OWN_FLAGS: Final = {"-h", "--help", settings_help.HELP_ALL_FLAG, "-V", "--version"}
_EXAMPLES: Final = (
    "askd dev main.py:answer                serve a function, restart on changes",
    "askd serve book.yaml --port 8080       serve a file of questions and answers",
    "askd ask hello                         ask the server on this machine",
)


class AskdGroup(click.Group):
    """The `askd` command. Options without a command belong to `serve`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert `serve` before options that are not the group's, except while a shell completes a command line."""
        if not ctx.resilient_parsing and not (args and not args[0].startswith("-")):
            own_flags = [arg for arg in args if arg in _OWN_FLAGS]
            ctx.meta[IMPLICIT_SERVE_KEY] = not own_flags
            args = own_flags[:1] or ["serve", *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Build and return the command, or return None if no command has this name."""
        return COMMANDS[cmd_name]() if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Resolve the command. If the first word is an answerer or a typo, the error suggests a command line."""
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise click.UsageError(_unknown_command_message(args[0]))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands, and also the options of `serve`, because they may be given without it."""
        items = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            own = {item.value for item in items}
            serve = COMMANDS["serve"]()
            items += [item for item in serve.shell_complete(ctx, incomplete) if item.value not in own]
        return items

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the help."""
        return list(COMMANDS)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, the examples, and the names of common options of `serve`."""
        self.format_commands(ctx, formatter)
        settings_help.write_examples(formatter, _EXAMPLES)
        flags = ", ".join([*map(flag_name, settings_help.COMMON_SETTINGS), "--env-file"])
        formatter.write_text(f"Options of serve: {flags}.")
        formatter.write_text("All: --help-all. Docs: docs/index.md in the repository, /docs of a server.")

    def write_all_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands and every option of `serve`."""
        self.format_commands(ctx, formatter)
        settings_help.write_all_options(ctx, formatter)


def _unknown_command_message(word: str) -> str:
    similar = difflib.get_close_matches(word, COMMANDS, n=1)
    if any(sign in word for sign in ":/.") or (Path(word).exists() and not similar):
        similar = [f"serve {word}"]
    hint = f"did you mean `askd {similar[0]}`?" if similar else f"use one of {', '.join(COMMANDS)}"
    return f"unknown command {word!r}: {hint}"


root_command = AskdGroup(
    "askd",
    help="Serve a Python function, graph or book over HTTP. Default command: serve.",
    context_settings=settings_help.CONTEXT_SETTINGS,
    subcommand_metavar="[COMMAND] [OPTIONS]",
    options_metavar="",
)
root_command.params.append(settings_help.help_all_option(root_command.write_all_options))
click.version_option(__version__, "-V", "--version", prog_name="askd", message="%(prog)s %(version)s")(root_command)


def _run_with_reload(run: Callable[[], Any]) -> Any:
    """Run the command, under the control of the supervisor if one started this process."""
    if not reload.is_worker():
        return run()
    from askd.reload.worker import run_command  # noqa: PLC0415 - only for workers

    return run_command(run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: Arguments without the program name; None takes them from `sys.argv`.

    Returns:
        The command's exit code; 2 for invalid usage or settings, 130 after Ctrl-C.
    """
    try:
        code = _run_with_reload(
            functools.partial(root_command.main, arguments, prog_name="askd", standalone_mode=False)
        )
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        print_to_stderr(f"{error.format_message()}\nSee {ctx.command_path if ctx else 'askd'} --help.")
        return 2
    except StartupError as error:
        print_to_stderr(str(error))
        return 2
    except click.Abort:  # Ctrl-C
        return 130
    except BrokenPipeError:  # the reader of our output closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code if isinstance(code, int) else 0
