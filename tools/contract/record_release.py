"""`make contract`: at a release, record the surface that must stay compatible from then on."""

import asyncio
import json
import sys

from askd.telemetry import log_config
from tools.contract import public_surface


def main() -> None:
    """Write released.json, and print a summary."""
    log_config.configure("warning", "auto")
    surface = public_surface.without_deprecated(asyncio.run(public_surface.current_surface()))
    text = json.dumps(surface, indent=1, sort_keys=True, ensure_ascii=False)
    public_surface.RELEASED_FILE.write_text(text + "\n", encoding="utf-8")
    counts = {name: len(part) for name, part in surface.items() if name in {"settings", "metrics"}}
    paths = len(surface["openapi"]["paths"])
    sys.stdout.write(f"{public_surface.RELEASED_FILE.name}: {surface['version']}, {counts}, {paths} paths\n")


if __name__ == "__main__":
    main()
