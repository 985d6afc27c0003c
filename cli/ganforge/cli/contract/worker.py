"""One of several processes that train the recipes of a job; started by torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ganforge.cli.contract.recipe import failure
from ganforge.core import distributed, train
from ganforge.core.errors import Interrupted
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
        except Interrupted:
            raise
        except Exception as error:  # of a plugin's code: the finding, and no end of the other recipes
            (folder / f"{recipe}.error").write_text(failure(error), encoding="utf-8")
    distributed.stop()


if __name__ == "__main__":
    main()
