"""pip for images that build on askd's, which has none: it is mounted while they are built, and never in them.

    RUN --mount=from=askd:pip,target=/mnt python /mnt install --requirement requirements.txt

Packages go to /packages, where the server finds them; those that askd itself needs are kept at the versions that it was
tested with, and are not installed twice. Every word after /mnt is pip's.
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
    """Run pip, then compile what it installed, as the server's own packages are; return its exit code."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from pip._internal.cli.main import main as pip  # noqa: PLC0415 - it reads the environment when it is imported

    code = pip(sys.argv[1:])
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compiled = compileall.compile_dir(os.environ["PIP_PREFIX"], maxlevels=30, quiet=2, invalidation_mode=mode)
    return code or int(not compiled)


if __name__ == "__main__":
    sys.exit(main())
