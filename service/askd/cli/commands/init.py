"""`askd init`."""

from pathlib import Path

import click

from service.commands.base import CONTEXT


@click.command(
    "init",
    help="Write a folder for a function of your own: code, test, image, chart values, skaffold.",
    context_settings=CONTEXT,
)
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path())
@click.option("--image", default="askd", show_default=True, help="askd's image, to build on.")
@click.option("--chart", help="askd's chart: a folder, or oci://…  [default: the checkout's]")
def command(*, folder: str, image: str, chart: str | None) -> int:
    """Write the folder."""
    from service import init  # noqa: PLC0415 - not for help

    for name in init.write(Path(folder), image=image, chart=chart):
        click.echo(f"wrote {Path(folder) / name}")
    click.echo("\n    ".join(["\nNext:\n", *init.next_steps(Path(folder))]))
    return 0
