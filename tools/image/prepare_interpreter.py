"""Make the base image's interpreter ready to serve: remove what installs packages, compile the standard library.

Run by the Dockerfile, with `python -I`, before anything is installed. What is removed stays in the base's layer, which
is shared with every other image on it: the image gets safer, not smaller.
"""

import compileall
import py_compile
import re
import shutil
import sys
import sysconfig
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))
FOLDERS = [LIBRARY, *(Path(each) for each in sys.path if each.endswith(("site-packages", "dist-packages")))]
INSTALLERS = re.compile(r"(pip|setuptools|wheel|ensurepip|_distutils_hack|pkg_resources)([-_.].*)?|distutils-.*")
COMMANDS = re.compile(r"(pip|wheel)[\d.]*")
NOT_SERVED = re.compile(r"/(test|tests|idlelib|idle_test|turtledemo|lib2to3|site-packages|dist-packages)/")
"""Folders of the standard library that no server imports."""


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def installers() -> list[Path]:
    """Return what installs packages: modules, commands, and the wheels that ensurepip and venv would unpack."""
    found = [
        path for folder in FOLDERS if folder.is_dir() for path in folder.iterdir() if INSTALLERS.fullmatch(path.name)
    ]
    commands = [path for each in ("/usr/local/bin", "/usr/bin") for path in Path(each).iterdir()]
    wheels = Path("/usr/share/python-wheels")
    return [
        *found,
        *(path for path in commands if COMMANDS.fullmatch(path.name)),
        *([wheels] if wheels.is_dir() else []),
    ]


for path in installers():
    remove(path)
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
done = compileall.compile_dir(
    LIBRARY, maxlevels=20, quiet=1, force=True, rx=NOT_SERVED, workers=1, invalidation_mode=mode
)
sys.exit(not done)
