"""pip for images that build on the image of askd, which does not contain it. It is mounted only during the build.

    RUN --mount=from=askd:pip,target=/mnt python /mnt install --requirement requirements.txt

Packages are installed in /packages, which the server has on its path. Constraints keep the packages that askd needs at
the versions that it was tested with, and they are not installed again. The arguments after /mnt are those of pip.
"""

import compileall
import os
import py_compile
import sys
from pathlib import Path

HERE = Path(__file__).parent
DEFAULTS = {
    "PIP_PREFIX": "/packages",
    "PIP_CONSTRAINT": str(HERE / "constraints.txt"),
    "PIP_NO_COMPILE": "1",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_NO_WARN_SCRIPT_LOCATION": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


def main() -> int:
    """Run pip and compile the installed packages. Returns the exit code of pip, or 1 if compiling failed."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from pip._internal.cli.main import main as pip

    code = pip(sys.argv[1:])
    # Unchecked bytecode is never compared with its source, as for the server's own packages.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compiled = compileall.compile_dir(os.environ["PIP_PREFIX"], maxlevels=30, quiet=2, invalidation_mode=mode)
    return code or int(not compiled)


if __name__ == "__main__":
    sys.exit(main())
