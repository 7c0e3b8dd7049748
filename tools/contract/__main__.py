"""`make contract`: at a release, record what must stay compatible from now on."""

import asyncio
import json
import sys

from service.telemetry import logs

from . import surface


def main() -> None:
    """Write released.json, and say what it holds."""
    logs.configure("warning", "auto")
    found = surface.to_release(asyncio.run(surface.current()))
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False)
    surface.RELEASED.write_text(text + "\n", encoding="utf-8")
    counts = {name: len(part) for name, part in found.items() if name in {"settings", "metrics"}}
    paths = len(found["openapi"]["paths"])
    sys.stdout.write(f"{surface.RELEASED.name}: {found['version']}, {counts}, {paths} paths\n")


if __name__ == "__main__":
    main()
