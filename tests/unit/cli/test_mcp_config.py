"""`askd mcp-config`: what it prints for each host."""

import json

import pytest

from askd.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command; return its output."""
    assert main(["mcp-config", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("client", "key"), [("cursor", "mcpServers"), ("vscode", "servers")])
def test_configuration_of_one_host_is_a_file(capsys: pytest.CaptureFixture[str], client: str, key: str) -> None:
    """The output is the whole file, with name, URL and the header for a token."""
    output = run(capsys, "https://a.example/answers/", "--client", client, "--name", "faq", "--token")
    entry = json.loads(output)[key]["faq"]
    assert entry["url"] == "https://a.example/answers/mcp"
    assert entry["headers"] == {"Authorization": "Bearer TOKEN"}


def test_all_hosts_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Without options, a server on this machine."""
    output = run(capsys)
    assert "claude mcp add --transport http askd http://localhost:2024/mcp" in output
    assert all(host in output for host in ("Claude", "ChatGPT", "Cursor", "VS Code"))
    assert "headers" not in output


def test_invalid_url_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """One line and exit code 2, as for every command."""
    assert main(["mcp-config", "ftp://a.example"]) == 2
    assert "invalid server URL 'ftp://a.example'" in capsys.readouterr().err
