"""The command line: what it hands on, what it prints, what it returns."""

import os
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from service.cli import main
from service.errors import ListenError, LoadError
from service.guards.tokens import Tokens
from service.settings import Settings

Capture = pytest.CaptureFixture[str]


class FakeServer(ModuleType):
    """Stands for service.server: keeps what it was asked to run."""

    def __init__(self) -> None:
        super().__init__("service.server")
        self.settings: Settings | None = None
        self.unknown: Mapping[str, str | None] = {}
        self.outcome: int | BaseException = 0

    def run(self, settings: Settings, *, unknown: Mapping[str, str | None]) -> int:
        """Keep settings and unknown variables, and end as told."""
        self.settings, self.unknown = settings, unknown
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Start each test without ASKD_ variables, and undo what it changes in the environment."""
    with patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("ASKD_")]:
            del os.environ[name]
        yield


@pytest.fixture(name="server", autouse=True)
def fake_server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """Put a fake where the server would be imported from."""
    fake = FakeServer()
    monkeypatch.setitem(sys.modules, "service.server", fake)
    return fake


def served(server: FakeServer, *arguments: str) -> Settings:
    """Return the settings with which the server was run."""
    assert main(arguments) == 0
    assert server.settings is not None
    return server.settings


@pytest.mark.parametrize("arguments", [(), ("serve",)])
def test_nothing_serves_the_defaults(server: FakeServer, arguments: tuple[str, ...]) -> None:
    """`askd` alone, as `askd serve`, serves with the defaults."""
    assert served(server, *arguments) == Settings()


@pytest.mark.parametrize("command", [(), ("serve",)])
def test_options_without_a_command_are_those_of_serve(server: FakeServer, command: tuple[str, ...]) -> None:
    """`askd --port 1` is `askd serve --port 1`; = is as good as a space."""
    assert served(server, *command, "--port", "1", "--log-format=json") == Settings(port=1, log_format="json")


def test_the_answerer_is_an_argument_or_a_flag(server: FakeServer) -> None:
    """ANSWERER and --answerer mean the same, and win over the variable."""
    os.environ["ASKD_ANSWERER"] = "other.py"
    assert served(server, "serve", "main.py:answer").answerer == "main.py:answer"
    assert served(server, "--answerer", "main.py:answer").answerer == "main.py:answer"
    assert served(server, "serve", "a.md", "--answerer=a.md").answerer == "a.md"
    assert served(server).answerer == "other.py"


@pytest.mark.parametrize(
    ("flags", "value"),
    [((), None), (("--deterministic",), True), (("--no-deterministic",), False)],
)
def test_a_boolean_is_a_pair_of_flags(server: FakeServer, flags: tuple[str, ...], *, value: bool | None) -> None:
    """A boolean setting is switched by --x and --no-x; neither leaves it as it is."""
    assert served(server, *flags).deterministic is value


def test_a_flag_switches_off_what_the_variable_switches_on(server: FakeServer) -> None:
    """--no-x wins over the variable that says true."""
    os.environ["ASKD_LOG_QUESTIONS"] = "true"
    assert served(server).log_questions
    assert not served(server, "--no-log-questions").log_questions


def test_values_are_handed_on_untouched(server: FakeServer, capsys: Capture) -> None:
    """Values that look like options or numbers reach the settings as they are, which refuse them all at once."""
    assert main(["--port", "-5", "--threads", "0x1", "--drain-delay=", "--log-level", "loud"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "askd: --threads='0x1': give a whole number from 1 to 1024",
        "askd: --port='-5': give a whole number from 0 to 65535",
        "askd: --log-level='loud': give one of debug, info, warning, error",
        "askd: --drain-delay='': give a duration such as 500ms, 10s, 2m or a number of seconds, at most 600s",
    ]
    assert server.settings is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["main.py:answer"], "there is no command 'main.py:answer': did you mean `askd serve main.py:answer`?"),
        (["books/"], "there is no command 'books/': did you mean `askd serve books/`?"),
        (["chekc"], "there is no command 'chekc': did you mean `askd check`?"),
        (
            ["frobnicate"],
            "there is no command 'frobnicate': give one of serve, ask, explain, check, openapi, top, token, init",
        ),
        (["--port", "1", "check"], "'check' stands without a command: did you mean `askd check …`?"),
        (["--port", "1", "a.md"], "'a.md' stands without a command: did you mean `askd serve a.md …`?"),
        (["serve", "a.md", "--answerer", "b.md"], "ANSWERER is a.md and --answerer is b.md: leave one of them out"),
        (["--prot", "1"], "No such option"),
        (["--port"], "Option '--port' requires an argument."),
        (["serve", "a.md", "b.md"], "Got unexpected extra argument (b.md)"),
    ],
)
def test_a_slip_is_answered_with_what_to_type(
    server: FakeServer, capsys: Capture, arguments: list[str], message: str
) -> None:
    """What makes no sense exits 2 with a line that helps, and where to read more."""
    assert main(arguments) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.lower().startswith(f"askd: {message}".lower().rstrip("."))
    assert last.startswith("askd: See askd")
    assert server.settings is None


def test_a_file_without_a_dot_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """The first word may be a folder that is there."""
    (tmp_path / "knowledge").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["knowledge"]) == 2
    assert "did you mean `askd serve knowledge`?" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 2])
def test_the_exit_code_is_the_servers(server: FakeServer, code: int) -> None:
    """What the server returns is what the process exits with."""
    server.outcome = code
    assert main([]) == code


def test_a_start_that_fails_is_told_in_lines(server: FakeServer, capsys: Capture) -> None:
    """A failed start exits 2; each line says who speaks, but for those that go on with the one before."""
    server.outcome = LoadError("main.py:1: no\n  import x\nmend it")
    assert main([]) == 2
    assert capsys.readouterr().err == "askd: main.py:1: no\n  import x\naskd: mend it\n"


def test_a_taken_port_exits_2(server: FakeServer, capsys: Capture) -> None:
    """An address that cannot be listened on is a line and exit code 2."""
    server.outcome = ListenError("port 1 is held by x")
    assert main([]) == 2
    assert capsys.readouterr().err == "askd: port 1 is held by x\n"


def test_ctrl_c_before_the_server_handles_it(server: FakeServer) -> None:
    """Ctrl-C while things are imported ends without a traceback, with the shell's usual code."""
    server.outcome = KeyboardInterrupt()
    assert main([]) == 130


def test_env_file_gives_what_the_environment_lacks(server: FakeServer, tmp_path: Path) -> None:
    """Flags come before variables, variables before files, later files before earlier ones."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("ASKD_PORT=1\nASKD_THREADS=1\nASKD_HOST=::1\n")
    two.write_text("ASKD_PORT=2\nASKD_THREADS=2\nASKD_DRAIN_DELAY=2\nASKD_LOG_LEVEL=debug\n")
    os.environ["ASKD_DRAIN_DELAY"] = "3"
    found = served(server, f"--env-file={one}", f"--env-file={two}", "--log-level=error")
    assert found == Settings(host="::1", port=2, threads=2, drain_delay=3.0, log_level="error")


@pytest.mark.parametrize("value", ["", " ", "tcp://10.0.0.1:80"])
def test_env_file_fills_what_does_not_count(server: FakeServer, tmp_path: Path, value: str) -> None:
    """A variable that is empty, or injected by Kubernetes, does not hide the file's."""
    (tmp_path / "vars").write_text("ASKD_PORT=8080\n")
    os.environ["ASKD_PORT"] = value
    assert served(server, f"--env-file={tmp_path / 'vars'}").port == 8080


def test_env_file_is_for_the_users_code_too(server: FakeServer, tmp_path: Path) -> None:
    """Variables of others go into the process's environment, where they override nothing; ASKD_ ones do not."""
    (tmp_path / "vars").write_text("API_KEY=file\nREGION=file\nASKD_THREADS=3\n")
    os.environ["REGION"] = "real"
    assert served(server, f"--env-file={tmp_path / 'vars'}").threads == 3
    assert (os.environ["API_KEY"], os.environ["REGION"]) == ("file", "real")
    assert "ASKD_THREADS" not in os.environ


def test_a_faulty_env_file_is_refused(server: FakeServer, tmp_path: Path, capsys: Capture) -> None:
    """Faults in the file name file and line, each on a line of its own."""
    file = tmp_path / "vars"
    file.write_text("PORT 1\nX='\n")
    assert main(["--env-file", str(file)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"askd: {file}:1: ")
    assert second.startswith(f"askd: {file}:2: ")
    assert server.settings is None


def test_unknown_variables_do_not_stop_the_start(server: FakeServer, tmp_path: Path) -> None:
    """Unknown variables of environment and file reach the server, which logs them, with the nearest names."""
    (tmp_path / "vars").write_text("ASKD_PROT=1\n")
    os.environ["ASKD_THREDS"] = "1"
    assert served(server, f"--env-file={tmp_path / 'vars'}") == Settings()
    assert server.unknown == {"ASKD_PROT": "ASKD_PORT", "ASKD_THREDS": "ASKD_THREADS"}


def test_a_token_and_its_line_come_apart(capsys: Capture, tmp_path: Path) -> None:
    """The line goes to standard output, to be appended to the file, the token alone to standard error; they fit."""
    assert main(["token", "alice"]) == 0
    said = capsys.readouterr()
    token, file = said.err.strip(), tmp_path / "tokens"
    file.write_text(said.out)
    caller = Tokens(str(file)).caller(token)
    assert caller is not None
    assert caller.name == "alice"
    assert (said.err.count("\n"), said.out.count("\n")) == (1, 1)


def test_at_a_terminal_both_are_explained(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sees both is told which is which, on standard error."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["token", "alice"]) == 0
    said = capsys.readouterr()
    assert "askd: the token of alice" in said.err
    assert "askd: the line for the file" in said.err
    assert said.out.startswith("alice: ")


def test_a_token_needs_a_name(capsys: Capture) -> None:
    """What cannot be a name is refused with what can."""
    assert main(["token", "a b"]) == 2
    said = capsys.readouterr()
    assert "a name is 1 to 64 letters, digits, dots, dashes and underscores" in said.err
    assert not said.out


def test_the_installed_command_is_this_one() -> None:
    """What pip installs as `askd` runs this command line."""
    (command,) = entry_points(group="console_scripts", name="askd")
    assert command.load() is main
