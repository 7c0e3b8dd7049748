"""Write the rules and the dashboard; with options, print the rules of one fleet."""

import argparse
import dataclasses
import sys

from tools.monitoring.generated_files import generated_files, render_rules
from tools.monitoring.parameters import Parameters


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.monitoring", description=__doc__)
    for field in dataclasses.fields(Parameters):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    parameters = Parameters(**vars(parser.parse_args()))
    if len(sys.argv) > 1:
        sys.stdout.write(render_rules(parameters))
        return
    for path, text in generated_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
