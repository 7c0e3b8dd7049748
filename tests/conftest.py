"""Assertions in helpers are explained like those in tests, and properties may take long on a busy machine."""

import hypothesis
import pytest

pytest.register_assert_rewrite("tests.support")
hypothesis.settings.register_profile("askd", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("askd")
