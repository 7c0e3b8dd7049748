"""`askd init`: creates a project with a function, a test, a Dockerfile, chart values and a skaffold configuration."""

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from askd.errors import StartupError

_TEMPLATE_SUFFIX: Final = ".in"
_DOTFILE_PREFIX: Final = "dot."
"""Prefix of templates whose file name starts with a dot: packaging tools skip hidden files."""
_MAX_NAME_LENGTH: Final = 40
"""Characters of a project name. Kubernetes allows 63 in a label, and the chart appends suffixes to the name."""
_CHART_FOLDERS: Final = (Path(__file__).parent / "chart", Path(__file__).parents[3] / "chart")
"""Where askd's chart is: in the wheel, or in the checkout that this code runs from. The image has none."""


def write_scaffold(folder: Path, *, image: str, chart: str | None) -> list[str]:
    """Write the project into `folder` and return the names of its files and folders.

    Args:
        folder: Directory of the project; created if it does not exist.
        image: askd's image, with or without a tag.
        chart: askd's chart, a directory or an `oci://` URL. None copies the chart of this installation to `chart`.

    Raises:
        StartupError: A file exists already, in which case nothing is written, or a file cannot be written, or there is
            no chart to copy.
    """
    files = dict(_render_files(folder, image, chart or "chart"))
    files |= dict(_chart_files()) if chart is None else {}
    written = list(dict.fromkeys(name.partition("/")[0] for name in files))
    existing = [name for name in written if (folder / name).exists()]
    if existing:
        raise StartupError(
            f"{folder.absolute()} already contains {', '.join(existing)}, which would be overwritten: move it away, or "
            f"choose another directory with `askd init DIR`"
        )
    try:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StartupError(
            f"{error.filename or folder} cannot be written ({error.strerror}): choose another directory"
        ) from error
    return written


def project_name(folder: Path) -> str:
    """Return the directory's name as a valid name of an image and a Kubernetes object (a-z, 0-9 and hyphens)."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    name = name if name[:1].isalpha() else f"answers-{name}".strip("-")
    return name[:_MAX_NAME_LENGTH].rstrip("-")


def next_steps(folder: Path) -> list[str]:
    """Return the commands to run next, with comments."""
    steps = [
        ("askd dev", "serve the function; try curl 'localhost:2024/ask?q=Ada'"),
        ("pytest", "run the test; pip install pytest first"),
        (f"docker build -t {project_name(folder)} .", "build the image"),
        (f"docker run -p 2024:2024 {project_name(folder)}", "run the image"),
        ("skaffold dev", "run it in a cluster, and redeploy on changes"),
    ]
    width = max(len(command) for command, _ in steps)
    change_directory = [] if folder.resolve() == Path.cwd() else [f"cd {folder}"]
    return [*change_directory, *(f"{command:<{width}}  # {comment}" for command, comment in steps)]


def _render_files(folder: Path, image: str, chart: str) -> Iterator[tuple[str, str]]:
    variables = _template_variables(folder, image, chart)
    templates = resources.files(__name__).joinpath("templates").iterdir()
    for template in sorted(templates, key=lambda template: template.name):
        if template.name.endswith(_TEMPLATE_SUFFIX):
            name = template.name.removesuffix(_TEMPLATE_SUFFIX)
            name = f".{name.removeprefix(_DOTFILE_PREFIX)}" if name.startswith(_DOTFILE_PREFIX) else name
            yield name, Template(template.read_text(encoding="utf-8")).substitute(variables)


def _chart_files() -> Iterator[tuple[str, str]]:
    """Yield the names of the chart's files below the project, and their texts."""
    for chart in _CHART_FOLDERS:
        if (chart / "Chart.yaml").is_file():
            for path in sorted(chart.rglob("*")):
                if path.is_file() and path.suffix != ".pyc":
                    yield f"chart/{path.relative_to(chart).as_posix()}", path.read_text(encoding="utf-8")
            return
    raise StartupError(
        "this installation has no Helm chart: name one with `askd init --chart`, a folder or an oci:// URL"
    )


def _template_variables(folder: Path, image: str, chart: str) -> Mapping[str, str]:
    name = project_name(folder)
    return {
        "name": name,
        "variable": name.replace("-", "_"),
        "image": image,
        "image_pip": image_variant(image, "pip"),
        "image_dev": image_variant(image, "dev"),
        "chart": f"remoteChart: {chart}" if "://" in chart else f"chartPath: {chart}",
        "chart_source": chart,
    }


def image_variant(image: str, variant: str) -> str:
    """Return the name of a variant of askd's image: `askd` → `askd:pip`, `askd:0.1.0` → `askd:0.1.0-pip`."""
    tagged = ":" in image.rpartition("/")[2]
    return f"{image}-{variant}" if tagged else f"{image}:{variant}"
