"""`askd init`: a folder to begin with, that holds a function, its test, and what it takes to an image and a cluster."""

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from service.errors import StartupError

_SUFFIX: Final = ".in"
_HIDDEN: Final = "dot."
"""Starts the name of a template whose file starts with a dot: tools pass over files that are hidden."""
_LONGEST: Final = 40
"""Characters of a name: what Kubernetes allows for a label is 63, and objects add words of their own."""
_CHECKOUT: Final = Path(__file__).parents[2] / "chart"


def write(folder: Path, *, image: str, chart: str | None) -> list[str]:
    """Write the files into `folder`, which is made where it is not there, and return their names.

    `image` is askd's image, with a tag or without; `chart` is askd's chart, a folder or an `oci://` address; None: the
    checkout's, where this runs in one. Raises StartupError, before anything is written, where a file is there already.
    """
    files = dict(_files(folder, image, chart))
    present = [name for name in files if (folder / name).exists()]
    if present:
        raise StartupError(
            f"{folder.absolute()} has {', '.join(present)} already, and nothing is overwritten: move that away, or "
            "name another folder, `askd init DIR`"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as fault:
        raise StartupError(
            f"{fault.filename or folder}: cannot be written, {fault.strerror}: name another folder"
        ) from fault
    return list(files)


def name(folder: Path) -> str:
    """Return the folder's name as images and Kubernetes take it: lower case, digits and hyphens, a letter first."""
    words = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    words = words if words[:1].isalpha() else f"answers-{words}".strip("-")
    return words[:_LONGEST].rstrip("-")


def next_steps(folder: Path) -> list[str]:
    """Return what to type next, a line each."""
    steps = [
        ("askd serve --reload", "serves each save; ask it: curl 'localhost:2024/ask?q=Ada'"),
        ("pytest", "runs its test"),
        (f"docker build -t {name(folder)} .", "makes its image"),
        (f"docker run -p 2024:2024 {name(folder)}", "serves it from there"),
        ("skaffold dev", "does so in a cluster, and again after each save"),
    ]
    width = max(len(command) for command, _ in steps)
    enter = [] if folder.resolve() == Path.cwd() else [f"cd {folder}"]
    return [*enter, *(f"{command:<{width}}  # {what}" for command, what in steps)]


def _files(folder: Path, image: str, chart: str | None) -> Iterator[tuple[str, str]]:
    words = _words(folder, image, chart)
    for template in sorted(resources.files(__name__).joinpath("templates").iterdir(), key=lambda each: each.name):
        if template.name.endswith(_SUFFIX):
            file = template.name.removesuffix(_SUFFIX)
            file = f".{file.removeprefix(_HIDDEN)}" if file.startswith(_HIDDEN) else file
            yield file, Template(template.read_text(encoding="utf-8")).substitute(words)


def _words(folder: Path, image: str, chart: str | None) -> Mapping[str, str]:
    """Return what stands for what in the templates."""
    called = name(folder)
    return {
        "name": called,
        "variable": called.replace("-", "_"),
        "image": image,
        "image_pip": variant(image, "pip"),
        "image_dev": variant(image, "dev"),
        "chart": _chart(chart),
    }


def variant(image: str, word: str) -> str:
    """Return the name of a companion of askd's image: `askd` has askd:pip, `askd:0.1.0` has askd:0.1.0-pip."""
    tagged = ":" in image.rpartition("/")[2]
    return f"{image}-{word}" if tagged else f"{image}:{word}"


def _chart(chart: str | None) -> str:
    """Return the line of skaffold.yaml that names the chart."""
    if chart is None:
        chart = str(_CHECKOUT) if (_CHECKOUT / "Chart.yaml").is_file() else "../askd/chart"
    return f"remoteChart: {chart}" if "://" in chart else f"chartPath: {chart}"
