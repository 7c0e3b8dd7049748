"""`askd init`."""

from pathlib import Path

import click

from askd.cli.settings_help import CONTEXT_SETTINGS


@click.command(
    "init",
    short_help="Create a project with a function, test and Dockerfile.",
    help="Create a project in DIR: a function with a test, a Dockerfile, chart values and a skaffold configuration.",
    context_settings=CONTEXT_SETTINGS,
)
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path())
@click.option("--image", default="askd", show_default=True, help="Base image of the project's Dockerfile.")
@click.option("--chart", help="askd's Helm chart: a folder or an oci:// URL.  [default: a copy of it in chart/]")
def command(*, folder: str, image: str, chart: str | None) -> int:
    """Create a project."""
    from askd import scaffold  # noqa: PLC0415 - not needed for help

    for name in scaffold.write_scaffold(Path(folder), image=image, chart=chart):
        click.echo(f"wrote {Path(folder) / name}")
    click.echo("\n    ".join(["\nNext:\n", *scaffold.next_steps(Path(folder))]))
    return 0
