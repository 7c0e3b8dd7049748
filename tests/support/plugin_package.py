"""Write a package with plugins, as pip would install it."""

from collections.abc import Mapping
from pathlib import Path


def write_plugin_package(folder: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, str]) -> None:
    """Write version 1.0 of a package into `folder`, with the files that `pip install --target` creates."""
    folder.mkdir(parents=True, exist_ok=True)
    for module, code in modules.items():
        (folder / f"{module}.py").write_text(code, encoding="utf-8")
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("")
    lines = [f"{kind} = {target}" for kind, target in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[askd.answerers]", *lines, ""]))
