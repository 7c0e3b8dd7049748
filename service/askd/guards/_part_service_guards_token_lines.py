"""The lines of token files. No fault shows what stands in a line: it may be a token that was put there by mistake."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

PREFIX: Final = "askd_"
"""What tokens begin with, so that people and secret scanners know one when they see it."""
MOST: Final = 1000
"""Tokens, and files of a folder: so many clients have a gateway before them that knows them better."""
LARGEST: Final = 1 << 20
"""Bytes of one file."""
TOLD: Final = 10
"""Faults that are told of at once."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}")
_TOKEN: Final = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_MEND: Final = "write `name: hex of the token's SHA-256`, as `askd token NAME` prints it"


class Faults(Exception):
    """What is wrong, a line for each fault: where, what, and the mend."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class Line(NamedTuple):
    """One token: whose it is, and its SHA-256."""

    name: str
    digest: bytes

    @property
    def text(self) -> str:
        """The line as it stands in the file."""
        return f"{self.name}: {self.digest.hex()}"


Lines: TypeAlias = Sequence[Line]


def is_name(text: str) -> bool:
    """Whether a caller may be called so: never a hash or a token in the wrong place, which logs would show."""
    return bool(_NAME.fullmatch(text)) and not _DIGEST.fullmatch(text) and not _TOKEN.fullmatch(text)


def files(path: Path) -> list[Path]:
    """Return the files at `path`, in order. Raises Faults where there are none to be found.

    In a folder, names that begin with a dot are passed over: in a mounted Secret they are the machinery, `..data` and
    the folder that it leads to, which the other names are links into.
    """
    try:
        if not path.is_dir():
            return [path]
        found = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    except OSError as fault:
        raise Faults([f"{path}: cannot be listed ({fault.strerror}): allow the server to read it"]) from None
    if len(found) > MOST:
        raise Faults([f"{path}: has {len(found)} files, {MOST} are read: put several lines into one file"])
    return found


def read(path: Path) -> Lines:
    """Return the tokens of a file or folder, each once. Raises Faults with everything that is wrong, up to a bound."""
    found: dict[bytes, tuple[Line, str]] = {}
    faults: list[str] = []
    for file in files(path):
        for place, line in _file(file):
            if isinstance(line, str):
                faults.append(f"{place}: {line}")
            elif (other := found.setdefault(line.digest, (line, place)))[0].name != line.name:
                faults.append(f"{place}: the token is another's already, see {other[1]}: give each name its own")
    if len(found) > MOST:
        faults.append(f"{path}: has {len(found)} tokens, {MOST} are read: give a gateway before askd the rest to check")
    if faults:
        more = len(faults) - TOLD
        raise Faults(faults[:TOLD] + ([f"{path}: {more} more such faults"] if more > 0 else []))
    return [line for line, _ in found.values()]


def _file(file: Path) -> Iterator[tuple[str, Line | str]]:
    """Yield the place of each line with what stands there, or with what is wrong."""
    try:
        text = _text(file)
    except (OSError, ValueError) as fault:
        yield str(file), _unread(fault)
        return
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare and not bare.startswith("#"):
            yield f"{file}:{number}", _line(bare)


def _text(file: Path) -> str:
    """Raises OSError, and ValueError that says what is wrong."""
    with file.open("rb") as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"is over {LARGEST} bytes: give a file of tokens")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is no text in UTF-8: give a file of tokens") from None


def _unread(fault: OSError | ValueError) -> str:
    if isinstance(fault, FileNotFoundError):
        return "there is no such file or folder: make one with `askd token NAME >> FILE`"
    if isinstance(fault, IsADirectoryError):
        return "is a folder in a folder of tokens: put its files where it stands"
    return f"cannot be read ({fault.strerror}): check its permissions" if isinstance(fault, OSError) else str(fault)


def _line(text: str) -> Line | str:
    name, colon, digest = (part.strip() for part in text.partition(":"))
    if not colon:
        return f"there is no colon: {_MEND}"
    if not is_name(name):
        return f"before the colon is no name of 1 to 64 letters, digits, dots, dashes and underscores: {_MEND}"
    if not _DIGEST.fullmatch(digest):
        return f"after the colon are not the 64 hex digits of a SHA-256: {_MEND}"
    return Line(name, bytes.fromhex(digest))
