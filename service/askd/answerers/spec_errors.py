"""Explain why a spec names no answerer, and what to use instead."""

import difflib
import os
import re
from pathlib import Path
from typing import Final

from askd.answerers.folder_search import BOOK_SUFFIXES, visible_names

_MAX_LISTED_NAMES: Final = 6
_ACCEPTED_SPECS: Final = (
    "a book (file or folder of .yaml, .json, .md), package.module:name, path/to/file.py:name, langgraph.json, or a URL"
)
_WINDOWS_PATH: Final = re.compile(r"[A-Za-z]:[\\/].*|.*\\.*")


def spec_not_found_message(spec: str) -> str:
    """Return one line that explains why `spec` names no answerer and what to use instead."""
    try:
        return f"invalid answerer {spec!r}: {_reason(spec)}"
    except (OSError, ValueError) as error:
        return f"invalid answerer {spec!r}: {getattr(error, 'strerror', None) or error}"


def _reason(spec: str) -> str:
    if not spec:
        return f"the spec is empty. Use {_ACCEPTED_SPECS}"
    if "://" in spec:
        return f"servers have URLs with http://, https://, ask+http:// or ask+https://. Use {_ACCEPTED_SPECS}"
    path = Path(spec)
    if path.is_dir():
        return _folder_reason(path)
    if path.exists():
        return _file_reason(path)
    if _WINDOWS_PATH.fullmatch(spec) and os.sep == "/":
        return f"this looks like a Windows path, but askd runs on {os.uname().sysname}: use / between the folders"
    module, colon, attribute = spec.rpartition(":")
    return _module_attribute_reason(module, attribute) if colon else _missing_path_reason(path)


def _folder_reason(path: Path) -> str:
    modules = sorted(file.name for file in path.glob("*.py") if file.name != "__init__.py")
    if modules:
        return f"the folder contains no book, but {_join_first(modules)}: use {path / modules[0]}:NAME"
    names = sorted(file.name for file in path.iterdir())
    contents = f"it contains {_join_first(names)}" if names else "it is empty"
    return f"the folder contains no {_join_with_or(BOOK_SUFFIXES)} file; {contents}"


def _file_reason(path: Path) -> str:
    if not path.is_file():
        return "it is neither a file nor a folder"
    suffix = f"unsupported suffix {path.suffix}" if path.suffix else "missing suffix"
    return f"{suffix}. A book is {_join_with_or(BOOK_SUFFIXES)}, code is path/to/file.py:name"


def _module_attribute_reason(module: str, attribute: str) -> str:
    if not module:
        return "the name before the colon is missing: use package.module:name or path/to/file.py:name"
    if not attribute and ":" in module:
        return f"the name after the last colon is missing: use {module}"
    path = Path(module)
    if path.suffix == ".py" and not path.is_file():
        return _missing_path_reason(path)
    if path.suffix != ".py" and Path(f"{module}.py").is_file():
        return f"{module} does not exist, but {module}.py does: use {module}.py:{attribute or 'NAME'}"
    return _invalid_attribute_reason(module, attribute)


def _invalid_attribute_reason(module: str, attribute: str) -> str:
    if not all(part.isidentifier() for part in attribute.split(".")):
        return f"{attribute!r} after the colon is not a Python name: use {module}:NAME, such as {module}:answer"
    if Path(module).exists():
        return f"{module} is not a Python file, so it cannot contain {attribute}"
    return f"{module!r} is not a valid module name: use package.module:{attribute} or path/to/file.py:{attribute}"


def _missing_path_reason(path: Path) -> str:
    name = str(path)
    if Path(f"{name}.py").is_file():
        return f"the file does not exist, but {name}.py does: use {name}.py or {name}.py:NAME"
    folder = path.parent
    if all(part.isidentifier() for part in name.split(".")) and path.suffix not in {".py", *BOOK_SUFFIXES}:
        similar = _similar_names(path.name, folder)
        return f"no such file or folder{similar}. If it is a module, add the function's name: {name}:NAME"
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    return f"{path.name} is not in {folder.resolve()}{_similar_names(path.name, folder) or _folder_contents(folder)}"


def _similar_names(name: str, folder: Path) -> str:
    names = difflib.get_close_matches(name, visible_names(folder), n=3)
    return f"; similar names: {_join_first(names)}" if names else ""


def _folder_contents(folder: Path) -> str:
    names = visible_names(folder)
    return f"; the folder contains {_join_first(names)}" if names else "; the folder is empty"


def _join_first(names: list[str]) -> str:
    return ", ".join(names[:_MAX_LISTED_NAMES]) + (", …" if len(names) > _MAX_LISTED_NAMES else "")


def _join_with_or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
