"""What the image is made of."""

import hashlib
import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

from .conftest import ROOT, build, described, docker

pytestmark = pytest.mark.image

MOST: Final = 85_000_000
"""Bytes over its base that the image may have, with every extra in it."""
OF_THE_RUNTIME: Final = re.compile(
    r"(etc/(hosts|hostname|resolv\.conf|mtab)|\.dockerenv|run/\.containerenv)|(dev|proc|sys)(/.*)?"
)
"""What the container runtime puts into each container."""

INSTALLERS: Final = """
import importlib.util, shutil, sys
modules = ("pip", "setuptools", "wheel", "ensurepip", "pkg_resources")
modules = [name for name in modules if importlib.util.find_spec(name)]
commands = [name for name in ("pip", "pip3", "cc", "gcc", "clang", "ld", "make") if shutil.which(name)]
print(modules + commands)
"""
BYTECODE: Final = """
import importlib.util, sys
import service.server, service.answerers.book, service.answerers.function
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
    """Run code in the image, and return what it prints."""
    return docker("run", "--rm", "--entrypoint", interpreter, image, "-c", code).stdout.strip()


def layers(image: str) -> list[tuple[int, str]]:
    """Return bytes and origin of each layer that has any, the newest first."""
    lines = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image).stdout
    pairs = (line.split("\t", 1) for line in lines.splitlines())
    return [(int(size), made.removeprefix("/bin/sh -c ")) for size, made in pairs if int(size)]


def contents(image: str, file: Path) -> dict[str, tuple[object, ...]]:
    """Return what is in an image by path: kind, mode, owner, target, and the hash of what it holds."""
    container = docker("create", image).stdout.strip()
    try:
        docker("export", "--output", file, container)
    finally:
        docker("rm", container)
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(file) as archive:
        for entry in archive:
            path = entry.name.removeprefix("./").rstrip("/")
            if not OF_THE_RUNTIME.fullmatch(path):
                data = archive.extractfile(entry) if entry.isreg() else None
                digest = hashlib.sha256(data.read()).hexdigest() if data else ""
                found[path] = (entry.type, oct(entry.mode), entry.uid, entry.gid, entry.linkname, digest)
    file.unlink()
    return found


def test_its_size(image: str) -> None:
    """It has at most 85 MB over its base; its layers are printed."""
    base = int(described("python:3.13-slim", "{{.Size}}"))
    over = int(described(image, "{{.Size}}")) - base
    print(f"\n{over / 1e6:.1f} MB over a base of {base / 1e6:.1f} MB")
    for size, made in layers(image):
        print(f"{size / 1e6:8.1f} MB  {made[:90]}")
    assert 0 < over <= MOST


def test_what_it_declares(image: str) -> None:
    """User, entry point, folder, ports, signal and home are what docs/image.md says."""
    config = json.loads(described(image, "{{json .Config}}"))
    assert (config["User"], config["Entrypoint"], config.get("Cmd") or []) == ("65532:65532", ["askd"], [])
    assert (config["WorkingDir"], set(config["ExposedPorts"])) == ("/answers", {"2024/tcp", "2025/tcp"})
    assert config.get("StopSignal", "SIGTERM") in {"SIGTERM", "15"}
    assert {"HOME=/tmp", "ASKD_HOST=0.0.0.0", "ASKD_PORT=2024", "ASKD_OPS_PORT=2025"} <= set(config["Env"])


def test_its_labels(image: str) -> None:
    """The labels say what it is, and of which commit, from build arguments."""
    labels = json.loads(described(image, "{{json .Config.Labels}}"))
    ours = {name: value for name, value in labels.items() if name.startswith("org.opencontainers.image.")}
    said = {name.rpartition(".")[2]: value for name, value in ours.items()}
    assert said.pop("description").startswith("The answer server")
    assert said == {
        "title": "askd",
        "licenses": "Apache-2.0",
        "version": "9.8.7",
        "revision": "abcdef",
        "created": "2026-01-02T03:04:05Z",
        "source": "https://example.org",
    }


@pytest.mark.parametrize("interpreter", ["python", "/usr/local/bin/python3"])
def test_it_installs_and_compiles_nothing(image: str, interpreter: str) -> None:
    """There is neither pip nor anything like it, nor a compiler, for either name of the interpreter."""
    assert python(image, INSTALLERS, interpreter) == "[]"


def test_its_bytecode_is_complete(image: str) -> None:
    """All that a server imports, of Python itself too, is compiled, and never compared with its source."""
    count, _, stale = python(image, BYTECODE).partition(" ")
    assert int(count) > 300
    assert stale == "[]"


def test_its_packages_are_the_locks(image: str) -> None:
    """Every package has the lock's version."""
    installed = docker("run", "--rm", "--entrypoint", "cat", image, "/app/constraints.txt").stdout.splitlines()
    locked = {line.partition(" ;")[0].lower() for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert len(installed) > 10
    assert not {line.lower().replace("_", "-") for line in installed} - locked


def test_it_belongs_to_root(image: str, tmp_path: Path) -> None:
    """Its user owns nothing in it but /packages, and may not write to what it serves from."""
    found = contents(image, tmp_path / "image.tar")
    assert [path for path, (_, _, uid, *_) in found.items() if uid == 65532] == ["packages"]
    program = {path: entry for path, entry in found.items() if path.startswith(("app/", "answers"))}
    assert len(program) > 1000
    files = {path: int(str(mode), 8) for path, (kind, mode, *_) in program.items() if kind != tarfile.SYMTYPE}
    assert not [path for path, mode in files.items() if mode & 0o022]


def test_it_is_built_the_same_twice(image: str, tmp_path: Path) -> None:
    """Built anew from the same commit, it has the same paths, with the same modes, owners and contents."""
    again = build("again", "--no-cache")
    first, second = (contents(each, tmp_path / "image.tar") for each in (image, again))
    differing = sorted(path for path in {*first, *second} if first.get(path) != second.get(path))
    print(f"\n{len(first)} paths, {len(differing)} differ")
    docker("rmi", again, check=False)
    assert not differing


def test_hadolint_is_content(hadolint: str) -> None:
    """Hadolint finds nothing in any Dockerfile but what is explained where it is ignored."""
    files = [ROOT / "Dockerfile", *sorted((ROOT / "docs" / "examples").glob("*/Dockerfile"))]
    assert len(files) > 3
    done = subprocess.run([hadolint, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
