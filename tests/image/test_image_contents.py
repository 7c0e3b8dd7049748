"""Contents of the image: size, user, labels, packages, bytecode, permissions."""

import hashlib
import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

from tests.image.conftest import ROOT, build, docker, inspect_image

pytestmark = pytest.mark.image

MAX_SIZE: Final = 85_000_000
"""Maximum size in bytes in addition to the base image, with all extras."""
RUNTIME_FILES: Final = re.compile(
    r"(etc/(hosts|hostname|resolv\.conf|mtab)|\.dockerenv|run/\.containerenv)|(dev|proc|sys)(/.*)?"
)
"""Files that the container runtime adds to every container."""

INSTALLER_SCRIPT: Final = """
import importlib.util, shutil, sys
modules = ("pip", "setuptools", "wheel", "ensurepip", "pkg_resources")
modules = [name for name in modules if importlib.util.find_spec(name)]
commands = [name for name in ("pip", "pip3", "cc", "gcc", "clang", "ld", "make") if shutil.which(name)]
print(modules + commands)
"""
BYTECODE_SCRIPT: Final = """
import importlib.util, sys
import askd.process.server, askd.answerers.book.answerer, askd.answerers.function
files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
files = {file for file in files if file.endswith(".py")}
def unchecked(file):
    try:
        with open(importlib.util.cache_from_source(file), "rb") as code:
            return int.from_bytes(code.read(8)[4:], "little") == 1
    except OSError:
        return False
print(len(files), sorted(file for file in files if not unchecked(file)))
"""


def python(image: str, code: str, interpreter: str = "python") -> str:
    """Run code in the image and return its output."""
    return docker("run", "--rm", "--entrypoint", interpreter, image, "-c", code).stdout.strip()


def layers(image: str) -> list[tuple[int, str]]:
    """Return the size in bytes and the command of each layer that is not empty, the newest first."""
    lines = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image).stdout
    pairs = (line.split("\t", 1) for line in lines.splitlines())
    return [(int(size), command.removeprefix("/bin/sh -c ")) for size, command in pairs if int(size)]


def contents(image: str, file: Path) -> dict[str, tuple[object, ...]]:
    """Return the files of an image by path: type, mode, owner, group, link target and hash."""
    container = docker("create", image).stdout.strip()
    try:
        docker("export", "--output", file, container)
    finally:
        docker("rm", container)
    files: dict[str, tuple[object, ...]] = {}
    with tarfile.open(file) as archive:
        for entry in archive:
            path = entry.name.removeprefix("./").rstrip("/")
            if not RUNTIME_FILES.fullmatch(path):
                data = archive.extractfile(entry) if entry.isreg() else None
                digest = hashlib.sha256(data.read()).hexdigest() if data else ""
                files[path] = (entry.type, oct(entry.mode), entry.uid, entry.gid, entry.linkname, digest)
    file.unlink()
    return files


def test_size(image: str) -> None:
    """The image adds at most 85 MB to its base."""
    base = int(inspect_image("python:3.13-slim", "{{.Size}}"))
    added = int(inspect_image(image, "{{.Size}}")) - base
    print(f"\n{added / 1e6:.1f} MB in addition to a base of {base / 1e6:.1f} MB")
    for size, command in layers(image):
        print(f"{size / 1e6:8.1f} MB  {command[:90]}")
    assert 0 < added <= MAX_SIZE


def test_configuration(image: str) -> None:
    """User, entry point, working directory, ports, signal and home match docs/how-to/build-an-image.md."""
    config = json.loads(inspect_image(image, "{{json .Config}}"))
    assert (config["User"], config["Entrypoint"], config.get("Cmd") or []) == ("65532:65532", ["askd"], [])
    assert (config["WorkingDir"], set(config["ExposedPorts"])) == ("/answers", {"2024/tcp", "2025/tcp"})
    assert config.get("StopSignal", "SIGTERM") in {"SIGTERM", "15"}
    assert {"HOME=/tmp", "ASKD_HOST=0.0.0.0", "PORT=2024", "ASKD_OPS_PORT=2025"} <= set(config["Env"])


def test_labels(image: str) -> None:
    """The OCI labels have the values of the build arguments."""
    labels = json.loads(inspect_image(image, "{{json .Config.Labels}}"))
    prefix = "org.opencontainers.image."
    oci = {name.removeprefix(prefix): value for name, value in labels.items() if name.startswith(prefix)}
    assert oci.pop("description").startswith("The answer server")
    assert oci == {
        "title": "askd",
        "licenses": "Apache-2.0",
        "version": "9.8.7",
        "revision": "abcdef",
        "created": "2026-01-02T03:04:05Z",
        "source": "https://example.org",
    }


@pytest.mark.parametrize("interpreter", ["python", "/usr/local/bin/python3"])
def test_no_installer_or_compiler(image: str, interpreter: str) -> None:
    """The image has no package installer and no compiler."""
    assert python(image, INSTALLER_SCRIPT, interpreter) == "[]"


def test_bytecode_is_complete(image: str) -> None:
    """All imported modules, including the standard library, have bytecode that is not compared with its source."""
    count, _, stale = python(image, BYTECODE_SCRIPT).partition(" ")
    assert int(count) > 300
    assert stale == "[]"


def test_packages_match_the_lock(image: str) -> None:
    """Every package has the version of requirements.lock."""
    installed = docker("run", "--rm", "--entrypoint", "cat", image, "/app/constraints.txt").stdout.splitlines()
    locked = {line.partition(" ;")[0].lower() for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert len(installed) > 10
    assert not {line.lower().replace("_", "-") for line in installed} - locked


def test_files_belong_to_root(image: str, tmp_path: Path) -> None:
    """The user owns only /packages and cannot write to the program or to /answers."""
    entries = contents(image, tmp_path / "image.tar")
    assert [path for path, (_, _, uid, *_) in entries.items() if uid == 65532] == ["packages"]
    program = {path: entry for path, entry in entries.items() if path.startswith(("app/", "answers"))}
    assert len(program) > 1000
    files = {path: int(str(mode), 8) for path, (type_, mode, *_) in program.items() if type_ != tarfile.SYMTYPE}
    assert not [path for path, mode in files.items() if mode & 0o022]


def test_build_is_reproducible(image: str, tmp_path: Path) -> None:
    """A second build of the same commit has the same paths, modes, owners and contents."""
    again = build("again", "--no-cache")
    first, second = (contents(name, tmp_path / "image.tar") for name in (image, again))
    different = sorted(path for path in {*first, *second} if first.get(path) != second.get(path))
    print(f"\n{len(first)} paths, {len(different)} different")
    docker("rmi", again, check=False)
    assert not different


def test_hadolint(hadolint: str) -> None:
    """Hadolint accepts every Dockerfile."""
    files = [ROOT / "Dockerfile", *sorted((ROOT / "docs" / "examples").glob("*/Dockerfile"))]
    assert len(files) > 3
    result = subprocess.run([hadolint, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
