"""Set-up of all tests: assertions in helpers, properties without deadlines, and imports that end with their test."""

import sys
import tempfile
from collections.abc import Generator
from typing import Final

import pytest

try:
    import hypothesis
except ModuleNotFoundError:  # the tests with other clients need no properties
    pass
else:
    hypothesis.settings.register_profile("askd", hypothesis.settings(), deadline=None)
    hypothesis.settings.load_profile("askd")

pytest.register_assert_rewrite("tests.support")


TEMPORARY_FOLDERS: Final = f"{tempfile.gettempdir()}/pytest-of-"
"""Beginning of the paths of `tmp_path`."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Forget what a test has imported from `tmp_path`: a module `main` would hide the one of a later test."""
    path, modules = list(sys.path), set(sys.modules)
    result = yield
    sys.path[:] = path
    for name in sys.modules.keys() - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(TEMPORARY_FOLDERS):
            del sys.modules[name]
    return result
