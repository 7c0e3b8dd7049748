"""`--env-file`: precedence, exported variables and errors."""

import os
from pathlib import Path

import pytest

from askd.cli.main import main
from askd.config import Settings
from tests.unit.cli.conftest import FakeServer, load_settings


def test_precedence_of_env_files(server: FakeServer, tmp_path: Path) -> None:
    """Options override variables, variables override files, and later files override earlier ones."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("ASKD_PORT=1\nASKD_THREADS=1\nASKD_HOST=::1\n")
    second.write_text("ASKD_PORT=2\nASKD_THREADS=2\nASKD_DRAIN_DELAY=2\nASKD_LOG_LEVEL=debug\n")
    os.environ["ASKD_DRAIN_DELAY"] = "3"
    settings = load_settings(server, f"--env-file={first}", f"--env-file={second}", "--log-level=error")
    assert settings == Settings(host="::1", port=2, threads=2, drain_delay=3.0, log_level="error")


@pytest.mark.parametrize("value", ["", " ", "tcp://10.0.0.1:80"])
def test_env_file_replaces_unset_variables(server: FakeServer, tmp_path: Path, value: str) -> None:
    """An empty variable, or one that Kubernetes injects, does not override the file's."""
    (tmp_path / "vars").write_text("ASKD_PORT=8080\n")
    os.environ["ASKD_PORT"] = value
    assert load_settings(server, f"--env-file={tmp_path / 'vars'}").port == 8080


def test_env_file_exports_other_variables(server: FakeServer, tmp_path: Path) -> None:
    """Variables other than ASKD_* are exported to the process's environment, without overriding existing ones."""
    (tmp_path / "vars").write_text("API_KEY=file\nREGION=file\nASKD_THREADS=3\n")
    os.environ["REGION"] = "real"
    assert load_settings(server, f"--env-file={tmp_path / 'vars'}").threads == 3
    assert (os.environ["API_KEY"], os.environ["REGION"]) == ("file", "real")
    assert "ASKD_THREADS" not in os.environ


def test_invalid_env_file_is_rejected(server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each error in the file is a line with file name and line number."""
    file = tmp_path / "vars"
    file.write_text("PORT 1\nX='\n")
    assert main(["--env-file", str(file)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"askd: {file}:1: ")
    assert second.startswith(f"askd: {file}:2: ")
    assert server.settings is None


def test_unknown_variables_are_passed_to_the_server(server: FakeServer, tmp_path: Path) -> None:
    """Unknown variables of environment and file do not prevent the start; the server logs them with suggestions."""
    (tmp_path / "vars").write_text("ASKD_PROT=1\n")
    os.environ["ASKD_THREDS"] = "1"
    assert load_settings(server, f"--env-file={tmp_path / 'vars'}") == Settings()
    assert server.unknown == {"ASKD_PROT": "ASKD_PORT", "ASKD_THREDS": "ASKD_THREADS"}
