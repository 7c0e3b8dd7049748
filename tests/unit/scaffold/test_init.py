"""`askd init`: what it writes, and that it works."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import init
from service.cli import main

Capture = pytest.CaptureFixture[str]
FILES = {
    ".dockerignore",
    "Dockerfile",
    "README.md",
    "answer.py",
    "requirements.txt",
    "skaffold.yaml",
    "test_answer.py",
    "values.yaml",
}


@pytest.fixture
def folder(tmp_path: Path, capsys: Capture) -> Path:
    """The folder `My_Answers`, written by the command, whose words are still to be read."""
    path = tmp_path / "My_Answers"
    assert main(["init", str(path)]) == 0
    return path


def read(path: Path) -> Any:
    """Read YAML."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_it_writes_a_folder(folder: Path, capsys: Capture) -> None:
    """It writes the files, says which and what to type next, and leaves no gap in them."""
    assert {path.name for path in folder.iterdir()} == FILES
    said = capsys.readouterr().out
    assert all(f"wrote {folder / name}\n" in said for name in FILES)
    assert f"    cd {folder}\n    askd serve --reload" in said
    assert "docker build -t my-answers ." in said
    assert not [path.name for path in folder.iterdir() if "$name" in path.read_text(encoding="utf-8")]


def test_the_written_test_passes(folder: Path) -> None:
    """Its test passes: the function greets, and `askd check` accepts it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    bare = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_check_accepts_it_unnamed(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder, `askd check` needs no word to find the function."""
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "answer", raising=False)
    assert main(["check"]) == 0
    assert "answer.py (function)" in capsys.readouterr().out


def test_image_chart_and_skaffold_agree(folder: Path) -> None:
    """Release, Service, image and values have one name, made of the folder's."""
    skaffold, values = read(folder / "skaffold.yaml"), read(folder / "values.yaml")
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
    assert release["chartPath"]
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
def test_another_image(tmp_path: Path, image: str, pip: str) -> None:
    """--image goes into the Dockerfile, with the name of its companion for packages."""
    assert main(["init", str(tmp_path), "--image", image]) == 0
    text = (tmp_path / "Dockerfile").read_text(encoding="utf-8")
    assert f"ARG ASKD={image}\nFROM ${{ASKD}}\n" in text
    assert f"--mount=from={pip},target=/mnt " in text


def test_a_chart_in_a_registry(tmp_path: Path) -> None:
    """--chart with an address is a remote chart for skaffold, else a folder."""
    assert main(["init", str(tmp_path / "a"), "--chart", "oci://example.org/charts/askd"]) == 0
    assert main(["init", str(tmp_path / "b"), "--chart", "../chart"]) == 0
    (remote,) = read(tmp_path / "a" / "skaffold.yaml")["deploy"]["helm"]["releases"]
    (local,) = read(tmp_path / "b" / "skaffold.yaml")["deploy"]["helm"]["releases"]
    assert (remote["remoteChart"], local["chartPath"]) == ("oci://example.org/charts/askd", "../chart")


def test_nothing_is_overwritten(tmp_path: Path, capsys: Capture) -> None:
    """Where a file is there already, that is named with the mend, and nothing is written."""
    (tmp_path / "answer.py").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    fault = f"askd: {tmp_path} has answer.py already, and nothing is overwritten: move that away, or name "
    assert capsys.readouterr().err.startswith(fault)
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("answer.py", "mine")]


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: Capture) -> None:
    """A folder below a file is refused with the system's reason."""
    (tmp_path / "file").touch()
    assert main(["init", str(tmp_path / "file" / "below")]) == 2
    assert "cannot be written, Not a directory: name another folder" in capsys.readouterr().err


def test_here_is_the_default(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder it is this one, and there is nowhere to go to."""
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert (tmp_path / "answer.py").is_file()
    assert "cd " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("shop", "shop"), ("My Shop_2", "my-shop-2"), ("2nd", "answers-2nd"), ("…", "answers"), ("a" * 60, "a" * 40)],
)
def test_names(folder: str, expected: str) -> None:
    """A folder's name becomes one that images and Kubernetes take."""
    assert init.name(Path(folder)) == expected
