"""Check that the project's prose is plain: counts phrases that make sentences hard to read. Run by `make lint`.

Prose is the text of docs, docstrings, comments and string literals that contain a space. Each rule has a bound in hits
per 1,000 words, because a single hit can be right. `--list` prints every hit with its file and line.
"""

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple


class Rule(NamedTuple):
    """A phrase to avoid, and how often it may occur per 1,000 words."""

    name: str
    pattern: re.Pattern[str]
    bound: float


_VERBS_AFTER_WHAT: Final = (
    "is,are,has,have,had,was,were,come,comes,came,goes,went,stand,stands,it,they,can,could,may,must,need,needs,does,wait,"
    "waits,answer,answers,ask,asks,would,will,cannot,belong,belongs,lies,follows,hold,holds,nobody,somebody,there"
)
_VERBS_AFTER_WHO: Final = (
    "ask,asks,has,have,hold,holds,wait,waits,write,writes,read,reads,come,comes,cannot,need,needs,want,wants,is,are,may,"
    "does,would,will"
)
_NOUN_WHAT: Final = rf"\b[Ww]hat (?:{'|'.join(_VERBS_AFTER_WHAT.split(','))})\b"
_NOUN_WHO: Final = rf"(?<![,;] )\b(?:[Ww]hoever|[Ww]ho (?:{'|'.join(_VERBS_AFTER_WHO.split(','))}))\b"
RULES: Final = (
    Rule("nominal-what", re.compile(_NOUN_WHAT), 0.4),
    Rule("nominal-who", re.compile(_NOUN_WHO), 0.1),
    Rule(
        "condition",
        re.compile(r"\bwhere (?:there|it|that|nothing|nobody|none|one|they|the same|a |an |no |this|those|these)\b"),
        0.3,
    ),
    Rule("negated noun", re.compile(r"\b(?:is|are|has|have|was) (?:none|no)\b(?! (?:longer|more than))"), 1.0),
    Rule("None-gloss", re.compile(r"\bNone: "), 0.05),
    Rule(
        "report-verbs",
        re.compile(r"\b(?:[Tt]ells?|[Tt]old|[Ss]ays? (?:so|whether|which|why|how))\b"),
        0.3,
    ),
    Rule(
        "archaic words",
        re.compile(
            r"\b(?:mend(?:s|ed|ing)?|anew|lest|[Ll]ikewise|astray|at\shand|beforehand|in\svain|meanwhile|for\sever)\b"
        ),
        0.05,
    ),
    Rule("posture verbs", re.compile(r"\b(?:stands?|stood|rests?\son|lies|lay)\b"), 0.1),
    Rule("possessive", re.compile(r"\bof (?:one's|its|their|his|your) own\b"), 0.1),
)
_NO_PROSE: Final = re.compile(
    r"(^|/)(LICENSE|dashboard\.json|released\.json|requirements\.lock)$|\.(png|svg|lock)$|(^|/)books/"
)
_COMMENTED: Final = {".yaml", ".yml", ".tpl", ".toml", ".sh"}
_PLAIN: Final = {".js", ".css", ".txt"}


def read_prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and the text of each piece of prose in a file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".py":
        yield from _read_python(text)
    elif path.suffix == ".md":
        yield from _read_markdown(text)
    elif path.suffix in _COMMENTED or path.name in {"Dockerfile", "Makefile"}:
        for number, line in enumerate(text.splitlines(), 1):
            if "#" in line:
                yield number, line.split("#", 1)[1]
    elif path.suffix in _PLAIN:
        yield from enumerate(text.splitlines(), 1)


def _read_python(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _read_markdown(text: str) -> Iterator[tuple[int, str]]:
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith("    "):
            yield number, line


def list_files(paths: list[str]) -> list[Path]:
    """Return the files below these paths that git tracks and that have prose."""
    command = ["git", "ls-files", "-z", "--", *(paths or ["."])]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    # This file names the phrases that it looks for.
    return [Path(name) for name in listed if name and not _NO_PROSE.search(name) and name != "tools/prose.py"]


def main(arguments: list[str]) -> int:
    """Print the rate of each rule; return 1 if one is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print every hit")
    parser.add_argument("paths", nargs="*")
    options = parser.parse_args(arguments)
    words, hits = 0, Counter[str]()
    for path in list_files(options.paths):
        if not path.is_file():
            continue
        for line, text in read_prose(path):
            words += len(re.findall(r"[A-Za-z']+", text))
            for rule in RULES:
                for match in rule.pattern.finditer(text):
                    hits[rule.name] += 1
                    if options.list:
                        print(f"{path}:{line}: {rule.name}: {text[max(match.start() - 30, 0) : match.end() + 40]!r}")
    rates = {rule.name: 1000 * hits[rule.name] / max(words, 1) for rule in RULES}
    for rule in RULES:
        verdict = "over" if rates[rule.name] > rule.bound else "ok"
        print(f"{rates[rule.name]:6.2f} per 1,000 words (bound {rule.bound:.2f})  {verdict:4}  {rule.name}")
    return int(any(rates[rule.name] > rule.bound for rule in RULES))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
