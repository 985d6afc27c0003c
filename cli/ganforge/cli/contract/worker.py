"""One of several processes that train the recipes of a job; started by torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ganforge.core import GanforgeError, distributed, train
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    registry = Registry(files=[Path(path) for path in job["plugins"]], fallback=BUILTIN)
    for recipe, settings in job["runs"].items():
        try:
            train(settings, folder / recipe, registry=registry)
        except GanforgeError as error:
            (folder / f"{recipe}.error").write_text(str(error), encoding="utf-8")
    distributed.stop()


if __name__ == "__main__":
    main()
