"""Assertions in helpers are explained like those in tests."""

import pytest

pytest.register_assert_rewrite("tests.support")
