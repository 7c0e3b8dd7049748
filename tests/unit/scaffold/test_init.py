"""`askd init`: the files it writes, and that they work."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from askd import scaffold
from askd.cli.main import main

Capture = pytest.CaptureFixture[str]
CHART = Path(__file__).parents[3] / "chart"
FILES = {
    ".dockerignore",
    "Dockerfile",
    "README.md",
    "answer.py",
    "chart",
    "requirements.txt",
    "skaffold.yaml",
    "test_answer.py",
    "values.yaml",
}


@pytest.fixture
def folder(tmp_path: Path, capsys: Capture) -> Path:
    """Directory `My_Answers`, written by the command; its output has not been read yet."""
    path = tmp_path / "My_Answers"
    assert main(["init", str(path)]) == 0
    return path


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_init_writes_the_project(folder: Path, capsys: Capture) -> None:
    """The command writes and lists the files, prints the next steps, and replaces all template variables."""
    assert {path.name for path in folder.iterdir()} == FILES
    output = capsys.readouterr().out
    assert all(f"wrote {folder / name}\n" in output for name in FILES)
    assert f"    cd {folder}\n    askd dev" in output
    assert "docker build -t my-answers ." in output
    texts = [path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file()]
    assert not [text for text in texts if "$name" in text]


def test_generated_test_passes(folder: Path) -> None:
    """The project's test passes: the function works, and `askd check` accepts it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    result = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


def test_check_finds_the_function(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the directory, `askd check` finds the function without an argument."""
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "answer", raising=False)
    assert main(["check"]) == 0
    assert "answer.py (function)" in capsys.readouterr().out


def test_image_chart_and_skaffold_agree(folder: Path) -> None:
    """Release, Service, image and values use the same name, which is derived from the directory's."""
    skaffold, values = read_yaml(folder / "skaffold.yaml"), read_yaml(folder / "values.yaml")
    (release,) = skaffold["deploy"]["helm"]["releases"]
    assert {
        skaffold["build"]["artifacts"][0]["image"],
        skaffold["portForward"][0]["resourceName"],
        release["name"],
        values["fullnameOverride"],
        values["image"]["repository"],
    } == {"my-answers"}
    assert skaffold["apiVersion"] == "skaffold/v4beta14"
    assert release["setValueTemplates"]["image.tag"] == "{{.IMAGE_TAG_my_answers}}"
    assert (release["chartPath"], (folder / "chart" / "Chart.yaml").is_file()) == ("chart", True)
    assert values["answerer"]["spec"] == "answer.py:answer"


@pytest.mark.parametrize(
    ("image", "pip"),
    [
        ("askd", "askd:pip"),
        ("askd:0.1.0", "askd:0.1.0-pip"),
        ("example.org:5000/askd", "example.org:5000/askd:pip"),
        ("example.org:5000/askd:1", "example.org:5000/askd:1-pip"),
    ],
)
def test_image_option(tmp_path: Path, image: str, pip: str) -> None:
    """--image sets the base image of the Dockerfile and its variant with pip."""
    assert main(["init", str(tmp_path), "--image", image]) == 0
    text = (tmp_path / "Dockerfile").read_text(encoding="utf-8")
    assert f"ARG ASKD={image}\nFROM ${{ASKD}}\n" in text
    assert f"--mount=from={pip},target=/mnt " in text


def test_chart_option(tmp_path: Path) -> None:
    """--chart with a URL sets a remote chart for skaffold, otherwise a chart path."""
    assert main(["init", str(tmp_path / "a"), "--chart", "oci://example.org/charts/askd"]) == 0
    assert main(["init", str(tmp_path / "b"), "--chart", "../chart"]) == 0
    (remote,) = read_yaml(tmp_path / "a" / "skaffold.yaml")["deploy"]["helm"]["releases"]
    (local,) = read_yaml(tmp_path / "b" / "skaffold.yaml")["deploy"]["helm"]["releases"]
    assert (remote["remoteChart"], local["chartPath"]) == ("oci://example.org/charts/askd", "../chart")
    assert not (tmp_path / "a" / "chart").exists()


def test_chart_is_copied(folder: Path) -> None:
    """Without --chart, the project contains the chart, so that it needs no checkout."""
    names = {path.relative_to(CHART) for path in CHART.rglob("*") if path.is_file()}
    copied = {path.relative_to(folder / "chart") for path in (folder / "chart").rglob("*") if path.is_file()}
    assert copied == names
    assert all((folder / "chart" / name).read_bytes() == (CHART / name).read_bytes() for name in names)


def test_installation_without_a_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Where neither the installation nor a checkout has the chart, the error names --chart and nothing is written."""
    monkeypatch.setattr(scaffold, "_CHART_FOLDERS", (tmp_path / "none",))
    assert main(["init", str(tmp_path / "a")]) == 2
    assert "name one with `askd init --chart`" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert main(["init", str(tmp_path / "a"), "--chart", "../chart"]) == 0


def test_existing_files_are_not_overwritten(tmp_path: Path, capsys: Capture) -> None:
    """If a file exists already, the error names it and the fix, and nothing is written."""
    (tmp_path / "answer.py").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    error = f"askd: {tmp_path} already contains answer.py, which would be overwritten: move it away, or choose "
    assert capsys.readouterr().err.startswith(error)
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("answer.py", "mine")]


def test_directory_that_cannot_be_created(tmp_path: Path, capsys: Capture) -> None:
    """A directory below a file is rejected with the system's reason."""
    (tmp_path / "file").touch()
    assert main(["init", str(tmp_path / "file" / "below")]) == 2
    assert "cannot be written (Not a directory): choose another directory" in capsys.readouterr().err


def test_working_directory_is_the_default(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument, files are written to the working directory, and the next steps have no `cd`."""
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert (tmp_path / "answer.py").is_file()
    assert "cd " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("shop", "shop"), ("My Shop_2", "my-shop-2"), ("2nd", "answers-2nd"), ("…", "answers"), ("a" * 60, "a" * 40)],
)
def test_project_name(folder: str, expected: str) -> None:
    """A directory's name is converted to a valid name of an image and a Kubernetes object."""
    assert scaffold.project_name(Path(folder)) == expected
