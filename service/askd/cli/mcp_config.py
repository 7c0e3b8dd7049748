"""`askd mcp-config`: the configuration with which common hosts of MCP find a server."""

import json
from collections.abc import Mapping
from typing import Any, Final

import click

from askd.cli.settings_help import CONTEXT_SETTINGS
from askd.client.target import parse_url

_CLIENTS: Final = ("claude", "cursor", "vscode")


def command() -> click.Command:
    """Return the command."""
    return click.Command(
        "mcp-config",
        callback=_print_config,
        params=[
            click.Argument(["url"], default="http://localhost:2024", metavar="[URL]"),
            click.Option(
                ["--client"],
                type=click.Choice(_CLIENTS),
                help="Print only the configuration of this host, to be written to a file.",
            ),
            click.Option(["--name"], default="askd", show_default=True, help="Name of the server in the host."),
            click.Option(["--token"], is_flag=True, help="Add a header with the placeholder TOKEN."),
        ],
        short_help="Print how agents (Claude, Cursor, VS Code) find a server.",
        help="Print the configuration for hosts of the Model Context Protocol. URL is that of the server, with its "
        "path prefix.  [default: http://localhost:2024]",
        context_settings=CONTEXT_SETTINGS,
    )


def _print_config(*, url: str, client: str | None, name: str, token: bool) -> int:
    try:
        endpoint = f"{str(parse_url(url)).rstrip('/')}/mcp"
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    headers = {"Authorization": "Bearer TOKEN"} if token else {}
    configs = {
        "claude": ("Claude Code, in a terminal", _claude_command(endpoint, name, headers)),
        "cursor": ("Cursor, .cursor/mcp.json", _to_json({"mcpServers": {name: _entry(endpoint, headers)}})),
        "vscode": (
            "VS Code, .vscode/mcp.json",
            _to_json({"servers": {name: {"type": "http", **_entry(endpoint, headers)}}}),
        ),
    }
    if client is not None:
        click.echo(configs[client][1])
        return 0
    for title, text in configs.values():
        click.echo(f"# {title}\n{text}\n")
    click.echo(f"# Claude and ChatGPT on the web: add a connector with a URL that the internet reaches\n{endpoint}")
    return 0


def _claude_command(endpoint: str, name: str, headers: Mapping[str, str]) -> str:
    options = "".join(f' --header "{header}: {value}"' for header, value in headers.items())
    return f"claude mcp add --transport http {name} {endpoint}{options}"


def _entry(endpoint: str, headers: Mapping[str, str]) -> dict[str, Any]:
    return {"url": endpoint, **({"headers": headers} if headers else {})}


def _to_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
