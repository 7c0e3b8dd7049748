"""The command line. What a command needs is imported when it runs, so that --help and --version come at once."""

import dataclasses
import difflib
import functools
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from service import __version__, envfile, options, reload, usual
from service.errors import StartupError
from service.settings import Settings, unknown_variables
from service.variables import PREFIX, given

Variables = Mapping[str, str]

_EPILOG: Final = (
    "A flag goes before its variable, a variable before --env-file. Durations: 500ms, 10s, 2m or seconds. "
    "Sizes: 64KiB, 1MiB or bytes."
)
_CONTEXT: Final = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}
_IMPLIED: Final = "askd.implied"
"""Key of the context's meta: options stood without a command."""


class SettingsCommand(click.Command):
    """A command that takes every setting; `work` gets settings and variables, and returns the exit code."""

    def __init__(self, name: str, work: Callable[[Settings, Variables], int], help: str) -> None:
        spec = click.Argument(["spec"], required=False, metavar="[ANSWERER]", type=click.Path())
        params = [spec, *options.settings(), options.env_file()]
        super().__init__(name, callback=self._run, params=params, help=help, epilog=_EPILOG, context_settings=_CONTEXT)
        self._work = work

    def _run(self, *, spec: str | None, env_file: Sequence[str], **values: str | bool | None) -> int:
        flags = {name: options.text(value) for name, value in values.items() if value is not None}
        if spec is not None:
            _refuse_ambiguity(spec, flags)
            flags["answerer"] = spec
        variables = _variables(env_file)
        settings = Settings.load(flags, variables)
        if settings.answerer is None:
            settings = dataclasses.replace(settings, answerer=usual.answerer(Path()))
        return self._work(settings, variables)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the settings by group, then the options that are no settings."""
        options.write_help(ctx, formatter)


def _refuse_ambiguity(spec: str, flags: Mapping[str, str]) -> None:
    if click.get_current_context().meta.get(_IMPLIED):
        command = spec if spec in askd.commands else f"serve {spec}"
        raise click.UsageError(f"{spec!r} stands without a command: did you mean `askd {command} …`?")
    if flags.get("answerer", spec) != spec:
        raise click.UsageError(f"ANSWERER is {spec} and --answerer is {flags['answerer']}: leave one of them out")


def _variables(files: Sequence[str]) -> Variables:
    """Return the environment, filled up from `files`, of which the last wins."""
    found: dict[str, str] = {}
    for file in files:
        found |= envfile.read(file)
    return found | {name: value for name, value in os.environ.items() if name not in found or given(value)}


def _export(variables: Variables) -> None:
    """Put what is no setting into this process's environment: it is for the user's code."""
    for name, value in variables.items():
        if not name.startswith(PREFIX):
            os.environ.setdefault(name, value)


class Askd(click.Group):
    """The commands; options without a command are those of `serve`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `serve` before options that are not the group's own; not while a shell completes."""
        if not ctx.resilient_parsing and not (args and not args[0].startswith("-")):
            own = [arg for arg in args if arg in {"-h", "--help", "--version"}]
            ctx.meta[_IMPLIED] = not own
            args = own[:1] or ["serve", *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Say what to type where the first word is an answerer or a slip."""
        if args and args[0] not in self.commands and not ctx.resilient_parsing:
            raise click.UsageError(self._no_command(args[0]))
        return super().resolve_command(ctx, args)

    def _no_command(self, word: str) -> str:
        near = difflib.get_close_matches(word, self.commands, n=1)
        if any(sign in word for sign in ":/.") or (Path(word).exists() and not near):
            near = [f"serve {word}"]
        names = ", ".join(self.commands)
        return f"there is no command {word!r}: " + (
            f"did you mean `askd {near[0]}`?" if near else f"give one of {names}"
        )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the options of `serve` too, for they may stand without it."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            own = {item.value for item in found}
            found += [item for item in self.commands["serve"].shell_complete(ctx, incomplete) if item.value not in own]
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order in which they are written below."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands first, then the options of `serve`."""
        self.format_commands(ctx, formatter)
        self.commands["serve"].format_options(ctx, formatter)


def _serve(settings: Settings, variables: Variables) -> int:
    if settings.reload and not reload.is_worker():
        from service.reload.supervisor import supervise  # noqa: PLC0415 - only where it is wanted

        return supervise(settings, env_files=click.get_current_context().params["env_file"])
    _export(variables)
    gc.disable()  # importing makes no garbage; the server turns it on when it is ready
    if reload.is_worker():
        from service.reload.worker import run  # noqa: PLC0415 - only where it is wanted
    else:
        from service.server import run  # noqa: PLC0415 - aiohttp and the rest only where a server is wanted
    return run(settings, unknown=unknown_variables(variables))


def _check(settings: Settings, variables: Variables) -> int:
    from service.check import report  # noqa: PLC0415 - answerers are imported only where one is wanted

    _export(variables)
    _warn(variables)
    for line in report(settings):
        click.echo(line)
    return 0


def _openapi(settings: Settings, variables: Variables) -> int:
    from service.check import contract  # noqa: PLC0415 - as above

    _export(variables)
    _warn(variables)
    click.echo(contract(settings))
    return 0


@click.command(
    "token",
    help="Make a token for NAME. Its line for --tokens-file goes to standard output, the token itself to standard "
    "error: `askd token alice >> tokens` adds the line and shows the token, this once.",
    context_settings=_CONTEXT,
)
@click.argument("name")
def _token(name: str) -> int:
    from service.guards.tokens import pair  # noqa: PLC0415 - as above

    try:
        token, line = pair(name)
    except ValueError as fault:
        raise click.BadParameter(f"{fault}.", param_hint="NAME") from None
    if sys.stderr.isatty():
        _complain(f"the token of {name}, which nothing shows again; send it as `Authorization: Bearer …`:")
    click.echo(token, err=True)
    if sys.stdout.isatty():
        _complain("the line for the file of --tokens-file:")
    click.echo(line)
    return 0


def _init(*, folder: str, image: str, chart: str | None) -> int:
    from service import init  # noqa: PLC0415 - as above

    for name in init.write(Path(folder), image=image, chart=chart):
        click.echo(f"wrote {Path(folder) / name}")
    click.echo("\n    ".join(["\nNext:\n", *init.next_steps(Path(folder))]))
    return 0


def _warn(variables: Variables) -> None:
    for name, near in unknown_variables(variables).items():
        _complain(f"{name} is no setting and does nothing" + (f": did you mean {near}?" if near else ""))


def _complain(message: str) -> None:
    """Write to stderr, `askd: ` before every line but those that are indented, which go on with the one before."""
    for line in message.splitlines():
        click.echo(line if line[:1].isspace() else f"askd: {line}", err=True)


askd = Askd(
    "askd",
    help="Serve a Python function, a graph or a book of questions and answers over HTTP. Without a command: serve.",
    epilog=_EPILOG,
    context_settings=_CONTEXT,
    subcommand_metavar="[COMMAND] [OPTIONS]",
    options_metavar="",
    commands=[
        SettingsCommand("serve", _serve, "Serve ANSWERER; without one, this folder's answer.py or the built-in book."),
        SettingsCommand("check", _check, "Load settings and ANSWERER, and say what would be served."),
        SettingsCommand("openapi", _openapi, "Print the contract of ANSWERER: OpenAPI 3.1, as JSON."),
        _token,
        click.Command(
            "init",
            callback=_init,
            params=[
                click.Argument(["folder"], default=".", metavar="[DIR]", type=click.Path()),
                click.Option(["--image"], default="askd", show_default=True, help="askd's image, to build on."),
                click.Option(["--chart"], help="askd's chart: a folder, or oci://…  [default: the checkout's]"),
            ],
            help="Write a folder for a function of your own: code, test, image, chart values, skaffold.",
            context_settings=_CONTEXT,
        ),
    ],
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
        _complain(f"{fault.format_message()}\nSee {ctx.command_path if ctx else 'askd'} --help.")
        return 2
    except StartupError as fault:
        _complain(str(fault))
        return 2
    except click.Abort:  # Ctrl-C
        return 130
    return code if isinstance(code, int) else 0
