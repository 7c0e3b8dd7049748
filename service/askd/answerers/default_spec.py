"""What answers where nobody says so: the file of the working folder that has one of the usual names."""

from pathlib import Path
from typing import Final

from service.errors import SpecError

NAMES: Final = ("answer.py", "langgraph.json", "book.yaml", "book.yml", "book.json", "book.md")
"""Names that say what the file is for, so that an image is two lines: `FROM askd` and `COPY answer.py ./`."""


def answerer(folder: Path) -> str | None:
    """Return the one of the usual names that `folder` has; None: it has none, so that the built-in book answers.

    Raises SpecError where it has several.
    """
    found = [name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise SpecError(
            f"{' and '.join(found)} are both in {folder.absolute()}: name the one that answers, as in "
            f"`askd serve {found[0]}` or ASKD_ANSWERER={found[0]}"
        )
    return found[0] if found else None
