"""The corpus of the fuzz targets: seeds, inputs that reach rare code, and inputs that failed once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import served_app
from tests.fuzz.targets import CORPUS, TARGETS


@pytest.fixture(scope="module", autouse=True)
def close_app() -> Iterator[None]:
    """Stop the server that some targets use."""
    yield
    if served_app.app.cache_info().currsize:
        served_app.app().close()
        served_app.app.cache_clear()


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    """The target keeps its promise for each input of its corpus."""
    paths = sorted((CORPUS / name).iterdir())
    assert paths
    for path in paths:
        try:
            TARGETS[name](path.read_bytes())
        except Exception as error:
            error.add_note(f"input: {path}")
            raise


def test_every_folder_has_a_target() -> None:
    """The corpus has a folder for each target, and only these."""
    assert {path.name for path in Path(CORPUS).iterdir()} == set(TARGETS)
