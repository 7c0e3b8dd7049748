"""The command line: settings passed to the server, output and exit codes."""

import os
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from askd.__main__ import main as entry_point
from askd.cli.main import main
from askd.config import Settings
from askd.errors import ListenError, LoadError
from tests.unit.cli.conftest import FakeServer, load_settings

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("arguments", [(), ("serve",)])
def test_serve_is_the_default_command(server: FakeServer, arguments: tuple[str, ...]) -> None:
    """`askd` and `askd serve` serve with the default settings."""
    assert load_settings(server, *arguments) == Settings()


@pytest.mark.parametrize("command", [(), ("serve",)])
def test_options_without_command_belong_to_serve(server: FakeServer, command: tuple[str, ...]) -> None:
    """`askd --port 1` means `askd serve --port 1`; `--port=1` is also accepted."""
    assert load_settings(server, *command, "--port", "1", "--log-format=json") == Settings(port=1, log_format="json")


def test_short_option_of_the_port(server: FakeServer) -> None:
    """`-p` is `--port`, with and without a command."""
    assert load_settings(server, "-p", "1") == load_settings(server, "serve", "-p1") == Settings(port=1)


def test_dev_is_serve_with_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    """`askd dev` starts the supervisor with the same settings as `askd serve --reload`."""
    calls: list[object] = []
    monkeypatch.setattr("askd.reload.supervisor.supervise", lambda *args, **options: calls.append((args, options)))
    for command in (["dev"], ["serve", "--reload"]):
        assert main([*command, "main.py", "-p", "1", "--env-file", os.devnull]) == 0
    settings = Settings(answerer="main.py", port=1, reload=True)
    assert calls == [((settings,), {"env_files": [".env", os.devnull]})] * 2


def test_answerer_is_an_argument_or_an_option(server: FakeServer) -> None:
    """ANSWERER and --answerer are equivalent, and override the variable."""
    os.environ["ASKD_ANSWERER"] = "other.py"
    assert load_settings(server, "serve", "main.py:answer").answerer == "main.py:answer"
    assert load_settings(server, "--answerer", "main.py:answer").answerer == "main.py:answer"
    assert load_settings(server, "serve", "a.md", "--answerer=a.md").answerer == "a.md"
    assert load_settings(server).answerer == "other.py"


@pytest.mark.parametrize(
    ("flags", "value"),
    [((), None), (("--deterministic",), True), (("--no-deterministic",), False)],
)
def test_boolean_is_a_pair_of_flags(server: FakeServer, flags: tuple[str, ...], *, value: bool | None) -> None:
    """--x and --no-x set a boolean; without either it keeps its default."""
    assert load_settings(server, *flags).deterministic is value


def test_negative_flag_overrides_the_variable(server: FakeServer) -> None:
    """--no-x overrides a variable that is true."""
    os.environ["ASKD_LOG_QUESTIONS"] = "true"
    assert load_settings(server).log_questions
    assert not load_settings(server, "--no-log-questions").log_questions


def test_all_invalid_values_are_reported(server: FakeServer, capsys: Capture) -> None:
    """Click passes values on unchanged, even if they look like options, and all invalid ones are reported at once."""
    assert main(["--port", "-5", "--threads", "0x1", "--drain-delay=", "--log-level", "loud"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "askd: --threads='0x1': expected a whole number from 1 to 1024",
        "askd: --port='-5': expected a whole number from 0 to 65535",
        "askd: --log-level='loud': expected one of debug, info, warning, error",
        "askd: --drain-delay='': expected a duration such as 500ms, 10s or 2m, at most 600s",
    ]
    assert server.settings is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["main.py:answer"], "unknown command 'main.py:answer': did you mean `askd serve main.py:answer`?"),
        (["books/"], "unknown command 'books/': did you mean `askd serve books/`?"),
        (["chekc"], "unknown command 'chekc': did you mean `askd check`?"),
        (
            ["frobnicate"],
            "unknown command 'frobnicate': use one of serve, dev, ask, explain, check, book, openapi, mcp-config, top",
        ),
        (["--port", "1", "check"], "'check' follows options without a command: did you mean `askd check …`?"),
        (["--port", "1", "a.md"], "'a.md' follows options without a command: did you mean `askd serve a.md …`?"),
        (["serve", "a.md", "--answerer", "b.md"], "ANSWERER is a.md but --answerer is b.md: remove one of them"),
        (["--prot", "1"], "No such option"),
        (["--port"], "Option '--port' requires an argument."),
        (["serve", "a.md", "b.md"], "Got unexpected extra argument (b.md)"),
    ],
)
def test_usage_error_has_a_hint(server: FakeServer, capsys: Capture, arguments: list[str], message: str) -> None:
    """Invalid usage exits with 2, and prints a hint and the command for help."""
    assert main(arguments) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.lower().startswith(f"askd: {message}".lower().rstrip("."))
    assert last.startswith("askd: See askd")
    assert server.settings is None


def test_existing_directory_is_recognized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """If the first word is an existing directory, the hint is to serve it."""
    (tmp_path / "knowledge").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["knowledge"]) == 2
    assert "did you mean `askd serve knowledge`?" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 2])
def test_exit_code_is_the_servers(server: FakeServer, code: int) -> None:
    """The process exits with the code that the server returns."""
    server.outcome = code
    assert main([]) == code


def test_startup_error_is_printed_in_lines(server: FakeServer, capsys: Capture) -> None:
    """A failed start exits with 2; every line has the prefix, except indented lines, which continue the line before."""
    server.outcome = LoadError("main.py:1: no\n  import x\nfix it")
    assert main([]) == 2
    assert capsys.readouterr().err == "askd: main.py:1: no\n  import x\naskd: fix it\n"


def test_port_in_use_exits_with_2(server: FakeServer, capsys: Capture) -> None:
    """If askd cannot listen, it prints one line and exits with 2."""
    server.outcome = ListenError("port 1 is in use by x")
    assert main([]) == 2
    assert capsys.readouterr().err == "askd: port 1 is in use by x\n"


def test_ctrl_c_during_import(server: FakeServer) -> None:
    """Ctrl-C before the server handles signals exits with 130, without a traceback."""
    server.outcome = KeyboardInterrupt()
    assert main([]) == 130


def test_installed_command() -> None:
    """The `askd` script that pip installs is `python -m askd`, which runs this command line."""
    (command,) = entry_points(group="console_scripts", name="askd")
    assert command.load() is entry_point
