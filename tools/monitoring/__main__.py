"""Writes the rules and the dashboard, or with arguments the rules of one fleet to standard output."""

import argparse
import dataclasses
import sys

from tests.rules.files import made, rules
from tests.rules.parameters import Parameters


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.rules", description=__doc__)
    for field in dataclasses.fields(Parameters):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    given = Parameters(**vars(parser.parse_args()))
    if len(sys.argv) > 1:
        sys.stdout.write(rules(given))
        return
    for path, text in made().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
