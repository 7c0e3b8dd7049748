"""Run the fuzz targets with Atheris (libFuzzer): `make fuzz ARGS="--seconds 600 book_yaml"`.

An input that fails is written to the corpus of its target, where the tests find it from then on. Inputs that reach new
code are kept in `.fuzz`, and `--merge` copies the useful ones to the corpus.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["askd"]):
    from tests.fuzz.targets import CORPUS, TARGETS

FOUND: Final = Path(".fuzz")
MAX_SIZE: Final = 4096
"""Bytes of the longest input."""
INPUT_TIMEOUT: Final = 10
"""Seconds after which an input fails."""


def report(text: str) -> None:
    """Print a line."""
    print(text, flush=True)  # noqa: T201 the output of a command


def run(name: str, options: Sequence[str], folders: Sequence[Path]) -> tuple[int, str]:
    """Run libFuzzer for a target in another process. Returns the exit code and the output."""
    with tempfile.TemporaryFile() as output:
        if not (pid := os.fork()):
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            atheris.Setup(["fuzz", *options, *map(str, folders)], TARGETS[name])
            atheris.Fuzz()  # ends the process
        _, status = os.waitpid(pid, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read().decode(errors="replace")


def fuzz(name: str, limit: float, seed: int) -> bool:
    """Run a target for `limit` seconds, report it, and return whether it kept its promise for all inputs."""
    corpus, found = CORPUS / name, FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    limits = [
        f"-max_total_time={max(round(limit), 1)}",
        f"-max_len={MAX_SIZE}",
        f"-timeout={INPUT_TIMEOUT}",
        f"-seed={seed}",
    ]
    started_at = time.monotonic()
    code, output = run(name, [*limits, f"-artifact_prefix={corpus}/failed-", "-print_final_stats=1"], [found, corpus])
    count = next((line.split()[-1] for line in output.splitlines() if "number_of_executed_units" in line), "?")
    seconds = time.monotonic() - started_at
    report(f"{name:14} {count:>9} inputs in {seconds:.0f} s{' FAILED' if code else ''}")
    if code:
        report(output[-6000:])
    return not code


def merge(name: str) -> bool:
    """Copy the inputs of `.fuzz` that reach code which the corpus does not reach."""
    before = len(list((CORPUS / name).iterdir()))
    code, _ = run(name, ["-merge=1", f"-max_len={MAX_SIZE}"], [CORPUS / name, FOUND / name])
    report(f"{name:14} {len(list((CORPUS / name).iterdir())) - before} files added")
    return not code


def main() -> int:
    """Run the targets one after another. Returns the exit code: 1 if one failed."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0, help="time for all targets together (default 60)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the inputs; 0 is another one for each run (default 0)"
    )
    parser.add_argument("--merge", action="store_true", help="add useful inputs of .fuzz to the corpus")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"unknown target {', '.join(sorted(unknown))}: use {', '.join(TARGETS)}")
    names = options.targets or list(TARGETS)
    if options.merge:
        results = [merge(name) for name in names]
    else:
        results = [fuzz(name, options.seconds / len(names), options.seed) for name in names]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
