"""Prepare the interpreter of the base image: remove package installers, and compile the standard library.

The Dockerfile runs it with `python -I` before anything is installed. Removed files stay in the layer of the base image,
which other images share: the image becomes safer, not smaller.
"""

import compileall
import py_compile
import re
import shutil
import sys
import sysconfig
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))
FOLDERS = [LIBRARY, *(Path(path) for path in sys.path if path.endswith(("site-packages", "dist-packages")))]
INSTALLERS = re.compile(r"(pip|setuptools|wheel|ensurepip|_distutils_hack|pkg_resources)([-_.].*)?|distutils-.*")
COMMANDS = re.compile(r"(pip|wheel)[\d.]*")
NOT_COMPILED = re.compile(r"/(test|tests|idlelib|idle_test|turtledemo|lib2to3|site-packages|dist-packages)/")
"""Folders of the standard library that no server imports."""


def remove(path: Path) -> None:
    """Remove a file, a link or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def find_installers() -> list[Path]:
    """Return the modules and commands of package installers, and the wheels that ensurepip and venv would unpack."""
    modules = [
        path for folder in FOLDERS if folder.is_dir() for path in folder.iterdir() if INSTALLERS.fullmatch(path.name)
    ]
    commands = [
        path
        for folder in ("/usr/local/bin", "/usr/bin")
        for path in Path(folder).iterdir()
        if COMMANDS.fullmatch(path.name)
    ]
    wheels = Path("/usr/share/python-wheels")
    return [*modules, *commands, *([wheels] if wheels.is_dir() else [])]


for path in find_installers():
    remove(path)
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
compiled = compileall.compile_dir(
    LIBRARY, maxlevels=20, quiet=1, force=True, rx=NOT_COMPILED, workers=1, invalidation_mode=mode
)
sys.exit(not compiled)
